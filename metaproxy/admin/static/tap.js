// Single exchanges as they end: asked for only while somebody has the tap open.

import { lines } from "./api.js";
import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { ms } from "./figures.js";
import { Badge, Empty, Section } from "./parts.js";

const KEPT = 100;

export function Tap({ listeners }) {
  const [listener, setListener] = useState("");
  const [match, setMatch] = useState("");
  const [limit, setLimit] = useState(20);
  const [found, setFound] = useState([]);
  const [state, setState] = useState("");
  const stop = useRef(null);
  useEffect(() => () => stop.current && stop.current.abort(), []);

  const start = async (event) => {
    event.preventDefault();
    const control = (stop.current = new AbortController());
    const query = new URLSearchParams({ limit: String(limit) });
    if (listener) query.set("listener", listener);
    if (match.trim()) query.set("match", match.trim());
    setFound([]);
    setState("running");
    try {
      for await (const one of lines(`tap?${query}`, control.signal)) setFound((before) => [one, ...before].slice(0, KEPT));
      setState("");
    } catch (error) {
      const missing = error.status === 404 ? "This proxy has no tap." : error.message;
      setState(control.signal.aborted ? "" : missing);
    }
    stop.current = null;
  };
  const running = state === "running";
  return html`<${Section} id="tap" title="Tap">
    <form class="tap" onSubmit=${start}>
      <label>Listener <select value=${listener} onChange=${(event) => setListener(event.target.value)}>
        <option value="">all</option>
        ${(listeners || []).map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}
      </select></label>
      <label class="wide">Match <input type="text" value=${match} placeholder="operation: sayHello" onInput=${(event) => setMatch(event.target.value)} /></label>
      <label>Exchanges <input type="number" min="1" max=${KEPT} value=${limit} onChange=${(event) => setLimit(event.target.valueAsNumber || 20)} /></label>
      ${running ? html`<button type="button" onClick=${() => stop.current.abort()}>Stop</button>` : html`<button class="main">Listen</button>`}
    </form>
    <p class="muted" role="status">${running ? `Listening: ${found.length} of ${limit}.` : ""}</p>
    ${!running && state && html`<p class="wrong" role="alert">${state}</p>`}
    ${!running && !state && !found.length && html`<${Empty}>Shows exchanges one by one, decoded, as they end. Costs nothing while it is closed.<//>`}
    <ol class="exchanges">${found.map((one, index) => html`<${Exchange} key=${found.length - index} one=${one} />`)}</ol>
  <//>`;
}

function Exchange({ one }) {
  const well = one.outcome === "ok" || one.outcome === "oneway";
  return html`<li><details>
    <summary>
      <${Badge} kind=${well ? "good" : "bad"}>${one.outcome || "?"}<//>
      <span class="operation">${one.operation || ""}</span>
      <span class="muted">${one.source || one.listener || ""} → ${one.cluster || "–"}</span>
      <span class="n">${ms(one.duration_ms)}</span>
    </summary>
    <pre>${JSON.stringify(one, null, 2)}</pre>
  </details></li>`;
}
