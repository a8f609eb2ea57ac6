// Live values: a slider for a percentage, which is how a canary is turned up; a switch, a number, a text for the rest.

import { ask } from "./api.js";
import { html, useState } from "./htm-preact.js";
import { Action, Badge, Section } from "./parts.js";

export function Runtime({ runtime, again }) {
  const names = Object.keys(runtime || {}).sort();
  if (!names.length) return null;
  return html`<${Section} id="runtime" title="Live values">
    <ul class="values">${names.map((name) => html`<${Value} key=${name} name=${name} one=${runtime[name]} again=${again} />`)}</ul>
  <//>`;
}

const isShare = (one) => [one.value, one.default].every((each) => typeof each === "number" && each >= 0 && each <= 100);

function Value({ name, one, again }) {
  // What is being typed or dragged, null when nothing is: the page is drawn anew every second or two, and must not undo it.
  const [draft, setDraft] = useState(null);
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const path = `runtime/${encodeURIComponent(name)}`;
  const send = async (value) => {
    if (value === one.value) return setDraft(null);
    setBusy(true);
    setDraft(value);
    try {
      await ask(path, "PUT", JSON.stringify(value));
      setWrong("");
      await again();
    } catch (error) {
      setWrong(error.message);
    }
    setDraft(null);
    setBusy(false);
  };
  const reset = async () => {
    await ask(path, "DELETE");
    await again();
  };
  const shown = draft === null ? one.value : draft;
  return html`<li>
    <label for=${`value-${name}`}>${name}</label>
    <${Control} name=${name} one=${one} shown=${shown} setDraft=${setDraft} send=${send} busy=${busy} />
    <span class="about">
      ${busy ? html`<span class="muted">…</span>` : one.overridden ? html`<${Badge} kind="note">changed<//> <span class="muted">the configuration says ${JSON.stringify(one.default)}</span>` : html`<span class="muted">as configured</span>`}
      ${one.overridden && !busy && html`<${Action} label="Reset" about=${name} ask=${false} run=${reset} />`}
    </span>
    ${wrong && html`<span class="wrong" role="alert">Not changed: ${wrong}</span>`}
  </li>`;
}

function Control({ name, one, shown, setDraft, send, busy }) {
  const id = `value-${name}`;
  const number = (event) => (Number.isFinite(event.target.valueAsNumber) ? send(event.target.valueAsNumber) : setDraft(null));
  const typed = {
    value: shown,
    onInput: (event) => setDraft(event.target.value),
    onBlur: () => busy || setDraft(null),
    onKeyDown: (event) => event.key === "Escape" && setDraft(null),
  };
  if (typeof one.value === "boolean") {
    return html`<input id=${id} type="checkbox" role="switch" checked=${shown} onChange=${(event) => send(event.target.checked)} />`;
  }
  if (isShare(one)) {
    return html`<span class="slider">
      <input id=${id} type="range" min="0" max="100" step="1" value=${Number(shown)}
        onInput=${(event) => setDraft(event.target.valueAsNumber)} onChange=${number} />
      <input type="number" min="0" max="100" step="any" aria-label=${`${name}, exactly`} ...${typed} onChange=${number} />
    </span>`;
  }
  if (typeof one.value === "number") return html`<input id=${id} type="number" step="any" ...${typed} onChange=${number} />`;
  return html`<input id=${id} type="text" ...${typed} onChange=${(event) => send(event.target.value)} />`;
}
