/** A response of the server that comes line by line, each of them JSON. */

import { Lost, Refused } from "./net.js";

/** Longer silence is a lost connection: the server says every ten seconds that it is still there. */
const SILENCE = 30_000;

/**
 * Yield the lines of a response as they come; stopping to read ends the request. Throws Refused or Lost.
 * @param {import("./net.js").Server} server whose token is sent
 * @param {string} path where to
 * @param {object} body what is sent
 * @param {AbortSignal} signal ends the request
 */
export async function* lines(server, path, body, signal) {
  const silence = new AbortController();
  let timer = null;
  const patient = (promise) => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE);
    return promise;
  };
  try {
    const answer = await patient(asked(server, path, body, AbortSignal.any([signal, silence.signal])));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { done, value } = await patient(reader.read());
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) yield JSON.parse(part);
    }
  } catch (error) {
    if (error instanceof TypeError || error instanceof DOMException) throw new Lost(String(error));
    throw error;
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

async function asked(server, path, body, signal) {
  const headers = { "content-type": "application/json", "x-csrf-token": server.csrf };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (answer.ok) return answer;
  if (answer.status === 401) location.assign("/login");
  if (answer.status >= 500) throw new Lost(`the server answered ${answer.status}`);
  const said = await answer.text();
  throw refusal(answer.status, said);
}

function refusal(status, said) {
  try {
    const { problem, detail, fix } = JSON.parse(said);
    return new Refused(status, problem ?? String(detail), fix ?? "");
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return new Refused(status, said.slice(0, 300));
  }
}
