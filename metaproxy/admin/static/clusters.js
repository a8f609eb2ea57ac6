// Clusters with their endpoints: what is out comes first, and what can be done about it.

import { ask } from "./api.js";
import { html, useState } from "./htm-preact.js";
import { endpointState, matches, ms, percent, rate, usable } from "./figures.js";
import { Action, Badge, Empty, Find, Section, Usually, useSome } from "./parts.js";

const KIND = { healthy: "good", draining: "note", drained: "note", "logged off": "note", ejected: "warn" };

export function Clusters({ clusters, counters, seconds, again }) {
  const [text, setText] = useState("");
  const [span, added] = counters.lately(seconds);
  const all = (clusters || []).map((one) => ({ ...one, out: one.endpoints.filter((each) => !usable(each)).length }));
  const found = all.filter((one) => matches(text, one.name, ...one.endpoints.map((each) => each.address)));
  const [some, more] = useSome(found.sort((a, b) => b.out - a.out || a.name.localeCompare(b.name)), 20);
  const aside = html`<${Find} label="Find a cluster, address" value=${text} set=${setText} />`;
  return html`<${Section} id="clusters" title="Clusters and endpoints" aside=${aside}>
    ${!found.length && html`<${Empty}>${all.length ? "Nothing has that in its name." : "The configuration has no cluster."}<//>`}
    ${some.map((one) => html`<${Cluster} key=${one.name} cluster=${one} wanted=${found.length <= 12} text=${text} span=${span} added=${added} again=${again} />`)}
    ${more}
  <//>`;
}

function Cluster({ cluster, wanted, text, span, added, again }) {
  const [chosen, choose] = useState(null);
  const open = chosen === null ? wanted || cluster.out > 0 : chosen;
  const { name, endpoints, out, breaker } = cluster;
  const inside = matches(text, name) ? endpoints : endpoints.filter((one) => matches(text, one.address));
  const order = [...inside].sort((a, b) => usable(a) - usable(b));
  const [some, more] = useSome(order, 25);
  const path = `clusters/${encodeURIComponent(name)}`;
  const change = (what) => async () => {
    await ask(`${path}/${what}`, "POST");
    again();
  };
  const kind = !endpoints.length || out === endpoints.length ? "bad" : out ? "warn" : "good";
  return html`<details class="cluster" id=${`cluster-${name}`} open=${open} onToggle=${(event) => event.target.open !== open && choose(event.target.open)}>
    <summary>
      <strong>${name}</strong> <${Badge} kind="plain">${cluster.protocol}<//>
      <${Badge} kind=${kind}>${endpoints.length ? `${endpoints.length - out} of ${endpoints.length} usable` : "no endpoint"}<//>
      ${cluster.paused && html`<${Badge} kind="warn">paused, ${cluster.paused.waiting} wait<//>`}
      ${cluster.topology && !endpoints.some((one) => one.role === "primary") && html`<${Badge} kind="bad">no primary, ${cluster.topology.waiting} wait<//>`}
      <span class="muted">${cluster.balancer.replaceAll("_", " ")}, ${breaker.requests.active} of ${breaker.requests.limit} requests under way</span>
    </summary>
    <div class="actions">
      ${cluster.paused ? html`<${Action} label="Resume" about=${name} ask=${false} run=${change("resume")} />` : html`<${Action} label="Pause" about=${name} run=${change("pause")} />`}
    </div>
    ${open && endpoints.length > 0 && html`<table class="endpoints">
      <thead><tr><th>State</th><th>Endpoint</th><th class="n">Active</th><th class="n">Per second</th><th class="n">Errors</th><th class="n">p99</th><th>Do</th></tr></thead>
      <tbody>${some.map((one) => html`<${Endpoint} key=${one.address} cluster=${name} endpoint=${one} span=${span} added=${added} change=${change} />`)}</tbody>
    </table>`}
    ${open && more}
  </details>`;
}

function Endpoint({ cluster, endpoint, span, added, change }) {
  const { address } = endpoint;
  const state = endpointState(endpoint);
  const requests = added(`${cluster}|${address}|requests`);
  const errors = added(`${cluster}|${address}|errors`);
  const place = (what) => change(`endpoints/${encodeURIComponent(address)}/${what}`);
  const { metadata, weight, priority, zone, lag_seconds: lag } = endpoint;
  const traits = Object.entries({ ...metadata, ...(lag && { lag: ms(1000 * lag) }), ...(zone && { zone }), ...(priority && { priority }), ...(weight !== 1 && { weight }) });
  return html`<tr class=${errors > 0 ? "failing" : ""}>
    <td class="state"><${Badge} kind=${KIND[state] || "bad"}>${state}<//></td>
    <td class="operation">${address}<small>${traits.map(([key, value]) => `${key} ${value}`).join(", ")}</small></td>
    <td class="n" data-label="active">${endpoint.active}</td>
    <td class="n" data-label="per second">${rate(span ? requests / span : null)}</td>
    <td class="n errors" data-label="errors">${percent(errors, requests)}</td>
    <td class="n" data-label="p99">${ms(endpoint.latency_ms.p99)}<${Usually} of=${endpoint} /></td>
    <td class="do">
      ${!endpoint.drained && html`<${Action} label="Drain" about=${address} run=${place("drain")} />`}
      ${!endpoint.drained && !endpoint.ejected && html` <${Action} label="Eject" about=${address} run=${place("eject")} />`}
      ${(endpoint.drained || endpoint.ejected) && html` <${Action} label="Restore" about=${address} ask=${false} run=${place("restore")} />`}
    </td>
  </tr>`;
}
