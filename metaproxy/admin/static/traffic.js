// Who calls what: the totals, and a row for each caller, cluster and operation.

import { html, useState } from "./htm-preact.js";
import { groups, matches, ms, percent, rate, size, told } from "./figures.js";
import { Badge, Empty, Find, Section, Spark, useSome } from "./parts.js";

export function Totals({ flows, history, clusters, listeners }) {
  const total = flows && flows.total;
  const active = (clusters || []).reduce((sum, one) => sum + one.breaker.requests.active, 0);
  const connected = (listeners || []).reduce((sum, one) => sum + one.counts.connections_active, 0);
  const wrong = total && total.errors > 0;
  return html`<dl class="totals">
    <div><dt>Requests a second</dt><dd>${rate(total && total.rate)}</dd>
      <${Spark} values=${history.map((one) => one.rate)} label="Requests a second lately" /></div>
    <div class=${wrong ? "wrong" : ""}><dt>Errors</dt><dd>${total ? percent(total.errors, total.exchanges) : "–"}</dd>
      <${Spark} values=${history.map((one) => one.errors)} label="Errors a second lately" /></div>
    <div><dt>Latency, p50</dt><dd>${ms(total && total.latency_ms.p50)}</dd></div>
    <div><dt>Latency, p99</dt><dd>${ms(total && total.latency_ms.p99)}</dd></div>
    <div><dt>Under way</dt><dd>${active}</dd></div>
    <div><dt>Clients connected</dt><dd>${connected}</dd></div>
  </dl>`;
}

// tap(flow): to look at its exchanges one by one. callers(key): to tell callers apart by another key.
export function Traffic({ flows, tap, callers }) {
  const [text, setText] = useState("");
  const found = groups(flows ? flows.flows : []).map((group) => ({
    ...group,
    rows: group.rows.filter((row) => matches(text, row.caller, row.cluster, row.operation, row.route, row.listener)),
  }));
  const rows = found.flatMap((group) => group.rows.map((row, index) => ({ ...row, first: !index })));
  const [some, more] = useSome(rows, 50);
  const most = Math.max(...some.map((row) => row.rate), 0.001);
  const aside = html`<span class="muted">${flows ? `the last ${Math.round(flows.seconds)} s` : ""}</span>
    <input class="key" type="text" aria-label="Metadata key that tells callers apart" placeholder="callers by key" autocapitalize="off" spellcheck="false"
      onChange=${(event) => callers(event.target.value.trim())} />
    <${Find} label="Find a caller, cluster, operation" value=${text} set=${setText} />`;
  return html`<${Section} id="traffic" title="Traffic" aside=${aside}>
    ${!rows.length && html`<${Empty}>${flows && flows.flows.length ? "Nothing has that in its name." : "No request ended while this page looked, and no stream is open."}<//>`}
    ${rows.length > 0 && html`<table class="flows">
      <thead><tr><th>Caller</th><th>Cluster</th><th>Operation</th><th class="n">Per second</th><th class="n">Errors</th><th class="n">p50</th><th class="n">p99</th><th class="n">Open streams</th></tr></thead>
      <tbody>${some.map((row) => html`<${Row} key=${[row.caller, row.listener, row.route, row.cluster, row.operation].join("\n")} row=${row} most=${most} tap=${tap} />`)}</tbody>
    </table>`}
    ${more}
    ${flows && flows.other && html`<p class="muted">Besides: ${rate(flows.other.rate)} a second of smaller flows, ${percent(flows.other.errors, flows.other.exchanges)} errors.</p>`}
  <//>`;
}

function Row({ row, most, tap }) {
  const open = row.streams ? row.streams.open : 0; // an older proxy tells of none
  return html`<tr class=${`${row.first ? "first" : "same"} ${row.errors ? "failing" : ""}`}>
    <td class="caller" title=${row.caller}>${row.caller}</td>
    <td class="cluster" title=${`listener ${row.listener}, route ${row.route}`}>
      ${row.cluster === "-" ? html`<span class="muted">none (${row.route === "-" ? "no route" : row.route})</span>` : row.cluster}
    </td>
    <td class="operation"><button class="text" title="Look at single exchanges" aria-label=${`Tap ${row.operation}`} onClick=${() => tap(row)}>${row.operation}</button> <${Badge} kind="plain">${row.protocol}<//></td>
    <td class="n" data-label="per second"><span class="bar" aria-hidden="true"><i style=${{ width: `${(100 * row.rate) / most}%` }}></i></span><span class="value">${rate(row.rate)}</span></td>
    <td class="n errors" data-label="errors">${percent(row.errors, row.exchanges)}${row.errors > 0 && html`<small>${told(row.outcomes)}</small>`}</td>
    <td class="n" data-label="p50">${ms(row.latency_ms.p50)}</td>
    <td class="n" data-label="p99">${ms(row.latency_ms.p99)}</td>
    <td class="n" data-label="open streams">${open > 0 && html`${open}<small title="bytes that have passed of them, from and to the client">↑ ${size(row.streams.request_bytes)} ↓ ${size(row.streams.response_bytes)}</small>`}</td>
  </tr>`;
}
