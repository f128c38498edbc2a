/**
 * The way to the server: JSON under /api, and patience where it does not answer.
 *
 * A request that got no answer is sent again until there is one. The server refuses a second answer to the
 * same item, so that sending again can never count twice.
 */

const WAITS = [1, 2, 4, 8, 15];
const LONGEST_ANSWER = 30_000;

/** The server understood and said no. */
export class Refused extends Error {
  /**
   * @param {number} status of HTTP
   * @param {string} problem what was wrong
   * @param {string} fix what to do about it
   */
  constructor(status, problem, fix = "") {
    super(problem);
    Object.assign(this, { status, problem, fix, again: false });
  }
}

/** There was no answer, or none that came from the study. */
export class Lost extends Error {}

export class Server {
  /** @param {(trouble: ?{seconds: number, now: function()}) => void} tell about a lost connection; null: it is back */
  constructor(tell) {
    this.tell = tell;
    this.csrf = "";
    this.waiting = new Set();
  }

  get(path) {
    return this.#patiently(() => this.once("GET", path));
  }

  post(path, body) {
    return this.#patiently(() => this.once("POST", path, body));
  }

  /** Send a request one time. Throws Refused or Lost. */
  async once(method, path, body) {
    let answer, said;
    try {
      answer = await fetch(path, {
        method,
        headers: { "content-type": "application/json", "x-csrf-token": this.csrf },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(LONGEST_ANSWER),
      });
      said = await answer.text();
    } catch (error) {
      throw new Lost(String(error));
    }
    if (answer.status >= 500) throw new Lost(`the server answered ${answer.status}`);
    const told = answer.ok ? parsed(said) : null;
    // Whatever else waits for the connection need not wait any longer.
    for (const go of this.waiting) go();
    if (answer.ok) return told;
    if (answer.status === 401) location.assign("/login");
    throw refusal(answer.status, said);
  }

  async #patiently(request) {
    for (let tries = 0; ; tries += 1) {
      try {
        const answer = await request();
        if (tries) this.tell(null);
        return answer;
      } catch (error) {
        if (!(error instanceof Lost)) {
          if (tries) this.tell(null);
          error.again = tries > 0;
          throw error;
        }
        await this.#wait(WAITS[Math.min(tries, WAITS.length - 1)]);
      }
    }
  }

  /** Wait until it is time to try again, the browser is online again, or somebody does not want to wait. */
  #wait(seconds) {
    return new Promise((resolve) => {
      const go = () => {
        clearTimeout(timer);
        removeEventListener("online", go);
        this.waiting.delete(go);
        resolve();
      };
      this.waiting.add(go);
      const timer = setTimeout(go, seconds * 1000);
      addEventListener("online", go);
      this.tell({ seconds, now: go });
    });
  }
}

/** Read an answer; one that is no JSON came from somebody else, such as a page in which a network wants a login. */
function parsed(said) {
  try {
    return JSON.parse(said);
  } catch {
    throw new Lost("the answer is not the study's");
  }
}

/** Read what a refusal says: the study's own, that of a form that does not fit, or plain text of the gate. */
function refusal(status, said) {
  let told;
  try {
    told = JSON.parse(said);
  } catch {
    return new Refused(status, said.slice(0, 300) || `the server answered ${status}`);
  }
  if (told.problem) return new Refused(status, told.problem, told.fix ?? "");
  if (typeof told.detail === "string") return new Refused(status, told.detail);
  const first = told.detail?.[0];
  return new Refused(status, first ? `${first.loc.join(".")}: ${first.msg}` : `the server answered ${status}`);
}
