// What each page has: a state that polls fill, drawn once a frame at most; a token that is asked for, and forgotten.

import { Poll, token } from "./api.js";
import { html, useEffect, useReducer, useRef, useState } from "./htm-preact.js";

// state: what the page shows. Of it belong to the shell: locked, why a token is asked for, null while it is not;
// lost, since when there is no answer; answered, when there was one; slow, by poll's name what it was told instead.
export class Shell {
  constructor(state) {
    this.state = Object.assign(state, { locked: null, lost: null, answered: 0, slow: {} });
    this.polls = [];
    this.redraw = () => {};
  }

  // Asks for path() every so many ms while `resting()` does not hold.
  poll(name, path, every, take, resting = () => false) {
    const { state } = this;
    const made = new Poll(path, every, () => resting() || state.locked !== null, (answer) => {
      take(answer);
      delete state.slow[name];
      state.lost = null;
      state.answered = Date.now();
      this.redraw();
    }, (error) => {
      if (error.status === 401 && error.used === token.get()) state.locked = error.used ? "That token is not valid." : "";
      else if (error.status === 401) return; // meanwhile another token was given
      else if (error.status === 0) state.lost = state.answered || Date.now();
      else state.slow[name] = error.message;
      this.redraw();
    });
    this.polls.push(made);
    return made;
  }

  pollAll() {
    return Promise.all(this.polls.map((one) => one.now()));
  }

  // Of the outermost component: it is drawn again after `redraw`, and asks again when it is looked at again.
  use() {
    const [, draw] = useReducer((number) => number + 1, 0);
    const frame = useRef(0);
    useEffect(() => {
      this.redraw = () => (frame.current = frame.current || requestAnimationFrame(() => ((frame.current = 0), draw())));
      const seen = () => !document.hidden && this.pollAll();
      document.addEventListener("visibilitychange", seen);
      this.pollAll();
      return () => document.removeEventListener("visibilitychange", seen);
    }, []);
  }
}

export function Title({ text }) {
  return html`<h1><img src="static/icon.svg" alt="" width="26" height="26" />${text}</h1>`;
}

export function ForgetToken({ shell }) {
  const forget = () => {
    token.set("");
    shell.state.locked = "";
    shell.redraw();
  };
  return token.get() && html`<button onClick=${forget}>Forget token</button>`;
}

// children: where tokens are written, and what they may do.
export function Login({ shell, title, children }) {
  const [text, setText] = useState("");
  const enter = (event) => {
    event.preventDefault();
    token.set(text.trim());
    shell.state.locked = null;
    shell.redraw();
    shell.pollAll();
  };
  return html`<form class="login" onSubmit=${enter}>
    <${Title} text=${title} />
    <label for="token">Token</label>
    <input id="token" type="password" autocomplete="off" value=${text} onInput=${(event) => setText(event.target.value)} autofocus />
    <p class="muted">${children} Kept until this tab closes.</p>
    ${shell.state.locked && html`<p class="wrong" role="alert">${shell.state.locked}</p>`}
    <button class="main">Look</button>
  </form>`;
}
