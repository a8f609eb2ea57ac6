// The worker processes, where there are some: what each has, and how often it was started again.

import { html } from "./htm-preact.js";
import { ago, size } from "./figures.js";
import { Badge, Section } from "./parts.js";

const KIND = { starting: "warn" };

export function Workers({ workers }) {
  if (!workers) return null;
  const ready = workers.filter((one) => one.answers).length;
  const aside = html`<span class="muted">${ready} of ${workers.length} ready</span>`;
  return html`<${Section} id="workers" title="Workers" aside=${aside}>
    <table class="workers">
      <thead><tr><th>State</th><th>Worker</th><th class="n">Connections</th><th class="n">Started again</th><th class="n">Connections lost</th><th class="n">CPU time</th><th class="n">Memory</th><th class="n">Up</th></tr></thead>
      <tbody>${workers.map((one) => html`<${Worker} key=${one.worker} one=${one} />`)}</tbody>
    </table>
  <//>`;
}

function Worker({ one }) {
  const [kind, word] = one.answers ? ["good", "ready"] : one.state === "ready" ? ["bad", "no answer"] : [KIND[one.state] || "bad", one.state];
  return html`<tr class=${one.lost_connections ? "failing" : ""}>
    <td class="state"><${Badge} kind=${kind}>${word}<//></td>
    <td class="operation">${one.worker} <span class="muted">process ${one.pid || "–"}${one.cpu === null ? "" : `, CPU ${one.cpu}`}${one.why && `, ended: ${one.why}`}</span></td>
    <td class="n" data-label="connections">${one.connections}</td>
    <td class="n" data-label="started again">${one.restarts}</td>
    <td class="n errors" data-label="connections lost">${one.lost_connections}</td>
    <td class="n" data-label="CPU time">${Math.round(one.cpu_seconds)} s</td>
    <td class="n" data-label="memory">${size(one.memory_bytes)}</td>
    <td class="n" data-label="up">${one.answers ? ago((Date.now() - new Date(one.started)) / 1000) : "–"}</td>
  </tr>`;
}
