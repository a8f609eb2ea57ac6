// The statements of databases by their fingerprint: which take the time, which fail. Their values are nowhere.

import { html, useState } from "./htm-preact.js";
import { clock, matches, ms, percent, size, told, whole } from "./figures.js";
import { Action, Empty, Find, Section, useSome } from "./parts.js";

export const ORDERS = { time: "most time", calls: "most calls", errors: "most errors", mean: "longest on average", rows: "most rows", bytes: "most bytes", slowest: "slowest call" };

// counting: whether those are counted that are so only while somebody looks; count(on): to change it. order: one of
// ORDERS; sort(order). tap(row): to look at its exchanges one by one. reset(): forgets all.
export function Statements({ statements, counting, count, order, sort, tap, reset }) {
  const [text, setText] = useState("");
  const all = statements.statements;
  const found = all.filter((row) => matches(text, row.text, row.fingerprint, row.user, row.database, row.cluster, row.listener, row.command));
  const [some, more] = useSome(found, 30);
  const lately = statements.listeners.filter((one) => !one.always);
  const aside = html`<span class="muted">${since(statements.listeners)}</span>
    <span class="tools">
      ${lately.length > 0 && html`<button aria-pressed=${counting} onClick=${() => count(!counting)}>${counting ? "Counting" : "Count"}</button>`}
      ${all.length > 0 && html`<${Action} label="Forget" about="all statements" run=${reset} />`}
      <select aria-label="Statements that come first" value=${order} onChange=${(event) => sort(event.target.value)}>
        ${Object.entries(ORDERS).map(([name, words]) => html`<option key=${name} value=${name}>${words}</option>`)}
      </select>
    </span>
    <${Find} label="Find a statement, user, database" value=${text} set=${setText} />`;
  const { total, other } = statements;
  return html`<${Section} id="statements" title="Statements" aside=${aside}>
    ${!found.length && html`<${Empty}>${all.length ? "Nothing has that in its name." : nothing(counting, lately)}<//>`}
    ${found.length > 0 && html`<table class="sql">
      <thead><tr><th>Statement</th><th class="n">Time in all</th><th class="n">Calls</th><th class="n">Errors</th><th class="n">Rows</th><th class="n">Bytes</th><th class="n">p50</th><th class="n">p99</th><th class="n">Slowest</th></tr></thead>
      <tbody>${some.map((row) => html`<${Row} key=${keyOf(row)} row=${row} total=${total.total_ms} tap=${tap} />`)}</tbody>
    </table>`}
    ${more}
    ${other && html`<p class="muted">Besides: ${whole(other.calls)} calls of other statements, ${percent(other.errors, other.calls)} errors, ${percent(other.total_ms, total.total_ms)} of the time.</p>`}
  <//>`;
}

const keyOf = (row) => [row.listener, row.cluster, row.user, row.database, row.command, row.fingerprint].join("\n");

function since(listeners) {
  const begun = listeners.map((one) => one.since).filter(Boolean).sort();
  return begun.length ? `since ${clock(begun[0])}` : "";
}

const nothing = (counting, lately) =>
  counting || !lately.length
    ? "No statement ended so far."
    : "To count statements their SQL is read, which takes the proxy a part of its time: so nothing is counted before Count is pressed, and 30 s after this page is closed.";

function Row({ row, total, tap }) {
  const { slowest } = row;
  return html`<tr class=${row.errors ? "failing" : ""}>
    <td class="operation"><button class="text" title="Look at single exchanges" aria-label=${`Tap ${row.text || row.fingerprint}`} onClick=${() => tap(row)}>${row.text || row.fingerprint}</button>
      <small title=${`fingerprint ${row.fingerprint}`}>${row.command} by ${row.user} in ${row.database}, ${row.listener} → ${row.cluster === "-" ? "no cluster" : row.cluster}</small></td>
    <td class="n" data-label="time in all"><span class="bar" aria-hidden="true"><i style=${{ width: `${total ? (100 * row.total_ms) / total : 0}%` }}></i></span><span class="value">${ms(row.total_ms)}</span></td>
    <td class="n" data-label="calls">${whole(row.calls)}</td>
    <td class="n errors" data-label="errors">${percent(row.errors, row.calls)}${row.errors > 0 && html`<small>${told(row.outcomes)}</small>`}</td>
    <td class="n" data-label="rows">${row.rows === null ? "–" : whole(row.rows)}</td>
    <td class="n" data-label="bytes">${size(row.request_bytes + row.response_bytes)}</td>
    <td class="n" data-label="p50">${ms(row.latency_ms.p50)}</td>
    <td class="n" data-label="p99">${ms(row.latency_ms.p99)}</td>
    <td class="n" data-label="slowest" title=${`at ${slowest.endpoint}, ${slowest.outcome}${slowest.traceparent ? `, trace ${slowest.traceparent}` : ""}`}>${ms(slowest.duration_ms)}<small>${clock(slowest.time)}</small></td>
  </tr>`;
}
