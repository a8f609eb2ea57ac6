// Small parts that several sections are made of.

import { ms, unusual } from "./figures.js";
import { html, useEffect, useRef, useState } from "./htm-preact.js";

export function Section({ id, title, aside, children }) {
  return html`<section id=${id} aria-labelledby=${`${id}-title`}>
    <div class="head"><h2 id=${`${id}-title`}>${title}</h2>${aside}</div>
    ${children}
  </section>`;
}

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

export function Badge({ kind, children }) {
  return html`<span class=${`badge ${kind}`}>${children}</span>`;
}

// Beside a p99 that is far from what it usually is.
export const Usually = ({ of }) => unusual(of) && html`<small>usually ${ms(of.usual_p99_ms)}</small>`;

export function Find({ label, value, set }) {
  return html`<input class="find" type="search" aria-label=${label} placeholder=${label} value=${value}
    onInput=${(event) => set(event.target.value)} />`;
}

// The first `step` of `all`, and a button for more: thousands of rows stay out of the page until somebody wants them.
export function useSome(all, step) {
  const [number, set] = useState(step);
  const left = all.length - number;
  const more = left > 0 && html`<button class="more" onClick=${() => set(number + step)}>
    Show ${Math.min(step, left)} more of ${left}
  </button>`;
  return [all.slice(0, number), more];
}

// A button that asks once more before it does it, and says what came of it.
export function Action({ label, about, ask = true, run, kind = "" }) {
  const [state, set] = useState("");
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const later = (next, after) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => set(next), after);
  };
  const click = async () => {
    if (ask && state !== "sure") {
      set("sure");
      later("", 5000);
      return;
    }
    clearTimeout(timer.current);
    set("busy");
    try {
      await run();
      set("");
    } catch (error) {
      set(error.message);
      later("", 8000);
    }
  };
  const busy = state === "busy";
  const shown = state === "sure" ? `${label}: sure?` : busy ? "…" : label;
  return html`<button class=${`${kind} ${state === "sure" ? "sure" : ""}`} aria-label=${`${shown} ${about || ""}`} disabled=${busy} onClick=${click}>${shown}</button>
    ${!["", "sure", "busy"].includes(state) && html`<span class="wrong" role="alert">${state}</span>`}`;
}

export function Spark({ values, label }) {
  const most = Math.max(...values, 0.001);
  const points = values.map((value, index) => `${(100 * index) / Math.max(values.length - 1, 1)},${27 - (25 * value) / most}`);
  return html`<svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none" role="img" aria-label=${label}>
    <polyline points=${points.join(" ")} />
  </svg>`;
}

// Shares of a whole, as one bar; each part is told in words beside it.
export function Shares({ parts }) {
  const whole = parts.reduce((sum, part) => sum + part.value, 0);
  return html`<div class="shares" aria-hidden="true">
    ${parts.map((part) => whole > 0 && part.value > 0 && html`<i key=${part.key} class=${part.kind} style=${{ flexGrow: part.value / whole }}></i>`)}
  </div>`;
}
