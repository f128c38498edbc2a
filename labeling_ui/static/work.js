export function start(root) { root.textContent = "ready"; }
