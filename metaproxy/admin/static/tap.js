// Single exchanges as they end, streams also as they begin: asked for only while somebody has the tap open.

import { lines } from "./api.js";
import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { clock, ms } from "./figures.js";
import { Badge, Empty, Section } from "./parts.js";

const KEPT = 100;

// wanted: {listener, match} that another section asks for, anew each time.
export function Tap({ listeners, wanted }) {
  const [listener, setListener] = useState("");
  const [match, setMatch] = useState("");
  const [limit, setLimit] = useState(20);
  const [found, setFound] = useState([]);
  const [state, setState] = useState("");
  const stop = useRef(null);
  useEffect(() => () => stop.current && stop.current.abort(), []);
  useEffect(() => {
    if (!wanted) return;
    setListener(wanted.listener);
    setMatch(wanted.match);
    listen(wanted.listener, wanted.match);
    document.getElementById("tap").scrollIntoView();
  }, [wanted]);

  const listen = async (listener, match) => {
    if (stop.current) stop.current.abort();
    const control = (stop.current = new AbortController());
    const query = new URLSearchParams({ limit: String(limit) });
    if (listener) query.set("listener", listener);
    if (match.trim()) query.set("match", match.trim());
    setFound([]);
    setState("running");
    let told = "";
    try {
      for await (const one of lines(`tap?${query}`, control.signal)) setFound((before) => [...before, one].slice(-KEPT)); // at the end: nothing moves that somebody reads
    } catch (error) {
      told = error.status === 404 && !listener ? "This proxy has no tap." : error.message;
    }
    if (stop.current !== control) return; // another one runs
    stop.current = null;
    setState(control.signal.aborted ? "" : told);
  };
  const start = (event) => {
    event.preventDefault();
    listen(listener, match);
  };
  const running = state === "running";
  return html`<${Section} id="tap" title="Tap">
    <form class="tap" onSubmit=${start}>
      <label>Listener <select value=${listener} onChange=${(event) => setListener(event.target.value)}>
        <option value="">all</option>
        ${(listeners || []).map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}
      </select></label>
      <label class="wide">Match <input type="text" value=${match} placeholder="outcome=timeout, cluster=demo" onInput=${(event) => setMatch(event.target.value)} /></label>
      <label>Exchanges <input type="number" min="1" max=${KEPT} value=${limit} onChange=${(event) => setLimit(event.target.valueAsNumber || 20)} /></label>
      ${running ? html`<button type="button" onClick=${() => stop.current.abort()}>Stop</button>` : html`<button class="main">Listen</button>`}
    </form>
    <p class="muted" role="status">${running ? `Listening: ${found.length} of ${limit}.` : ""}</p>
    ${!running && state && html`<p class="wrong" role="alert">${state}</p>`}
    ${!running && !state && !found.length && html`<${Empty}>Shows exchanges one by one, decoded, as they end, each with why it went where it went. Costs nothing while it is closed.<//>`}
    <ol class="exchanges">${found.map((one, index) => html`<${Exchange} key=${index} one=${one} />`)}</ol>
  <//>`;
}

// What became of it; of a stream that is open: which of its heads went on.
const OPEN = { request_head: "request begun", response_head: "answer begun" };

function Exchange({ one }) {
  const well = ["ok", "oneway", "event"].includes(one.outcome);
  const open = OPEN[one.event];
  const stream = one.stream || {};
  return html`<li><details>
    <summary>
      <${Badge} kind=${open ? "plain" : well ? "good" : "bad"}>${open || one.outcome}<//>
      ${one.mirror && html`<${Badge} kind="warn">copy differs<//>`}
      <span class="operation">${one.operation}</span>
      <span class="muted">${one.source} → ${one.endpoint === "-" ? one.cluster : `${one.cluster} ${one.endpoint}`}</span>
      <span class="n">${ms(one.duration_ms)}</span>
    </summary>
    <${Words} of=${facts(one)} />
    <div class="messages">
      <${Message} title="Request" message=${one.request} half=${stream.request} />
      <${Message} title="Answer" message=${one.response} half=${stream.response} />
      ${one.mirror && html`<${Message} title=${`Answer of ${one.mirror.cluster}`} message=${one.mirror} />`}
    </div>
    <details><summary>As JSON</summary><pre>${JSON.stringify(one, null, 2)}</pre></details>
  </details></li>`;
}

function facts(one) {
  const why = one.why || {};
  const stream = one.stream || {};
  const passed = (why.passed_over || []).map((each) => `${each.route}: ${each.why}`).join("; ");
  return {
    time: clock(one.time), listener: one.listener, details: one.details,
    "first byte after": stream.first_byte_ms === undefined || stream.first_byte_ms === null ? "" : ms(stream.first_byte_ms),
    [`route ${one.route}`]: why.route, "routes passed over": passed, [`cluster ${one.cluster}`]: why.cluster,
    [`endpoint ${one.endpoint}`]: why.endpoint, differs: one.mirror && one.mirror.differs, lost: one.lost,
  };
}

function Words({ of }) {
  const shown = Object.entries(of || {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return html`<dl class="words">${shown.map(([key, value]) => html`<div key=${key}><dt>${key}</dt><dd>${String(value)}</dd></div>`)}</dl>`;
}

// half: of a stream, what passed in this direction.
function Message({ title, message, half }) {
  if (!message) return html`<div><h3>${title}</h3><p class="muted">none</p></div>`;
  const kind = ["request", "response", "stream_open"].includes(message.kind) ? "" : message.kind;
  const pieces = half && half.chunks ? `a stream of ${half.chunks} pieces` : "";
  const about = [kind, message.bytes === undefined ? "" : `${message.bytes} bytes`, pieces].filter(Boolean).join(", ");
  const first = half && half.first;
  return html`<div><h3>${title} <span class="muted">${about}</span></h3><${Words} of=${message.metadata} />
    ${half && half.trailers && html`<${Words} of=${half.trailers} />`}
    ${first && html`<pre>${first.text === undefined ? first.base64 : first.text}</pre>`}</div>`;
}
