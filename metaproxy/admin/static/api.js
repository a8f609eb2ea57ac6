// The admin API as the page asks it: a token that lives as long as the tab, polls that rest while nobody looks.
// Paths are relative, so that the page works wherever something in front has put the API.

const KEY = "metaproxy.token";

export class ApiError extends Error {
  // used: the token that was sent.
  constructor(status, error, used = "") {
    super(error);
    this.status = status;
    this.used = used;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

export async function open(path, method = "GET", body = undefined, signal = undefined) {
  const used = token.get();
  const headers = used ? { Authorization: `Bearer ${used}` } : {};
  let answer;
  try {
    answer = await fetch(path, { method, body, headers, signal, cache: "no-store" });
  } catch (error) {
    throw new ApiError(0, error.name === "AbortError" ? "stopped" : "no answer");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new ApiError(answer.status, told.error || `status ${answer.status}`, used);
}

export async function ask(path, method = "GET", body = undefined) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), 10000);
  try {
    return await (await open(path, method, body, limit.signal)).json();
  } finally {
    clearTimeout(timer);
  }
}

// Lines of JSON as they arrive, until the stream ends or `signal` says so.
export async function* lines(path, signal) {
  const answer = await open(path, "GET", undefined, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part.trim()) yield JSON.parse(part);
  }
}

// One request at a time: the proxy has other work, and each is timed without those before it.
let turn = Promise.resolve();
function inTurn(work) {
  const mine = turn.then(work);
  turn = mine.catch(() => {});
  return mine;
}

const SLOWEST = 30000;
const RESTS = -1;

// Asks for `path()` every `every` ms, more seldom when answering takes the proxy long: it is asked for a twentieth of
// its time at most. Rests while the page is hidden or `resting()`. taken(answer), failed(ApiError).
export class Poll {
  constructor(path, every, resting, taken, failed) {
    Object.assign(this, { path, every, resting, taken, failed, timer: 0, busy: false });
  }

  async now() {
    clearTimeout(this.timer);
    if (this.busy || document.hidden || this.resting()) return;
    this.busy = true;
    let took = 0;
    try {
      const answer = await inTurn(async () => {
        const began = performance.now();
        if (this.resting()) throw new ApiError(RESTS, "at rest");
        try {
          return await ask(this.path());
        } finally {
          took = performance.now() - began;
        }
      });
      this.taken(answer);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== RESTS) this.failed(error);
    } finally {
      this.busy = false;
      this.timer = setTimeout(() => this.now(), Math.min(Math.max(this.every, 20 * took), SLOWEST));
    }
  }
}
