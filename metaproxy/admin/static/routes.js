// The routes in the order in which they are tried, with the share that each target really gets beside the one it is to get.

import { html, useState } from "./htm-preact.js";
import { colours, condition, matches, mirrors, ms, percent, plural, rate, splits, targets } from "./figures.js";
import { Badge, Empty, Find, Section, Shares, Usually, useSome } from "./parts.js";

export function Routes({ routes, clusters, counters, seconds }) {
  const colour = colours(clusters);
  const [text, setText] = useState("");
  const [span, added] = counters.lately(seconds);
  const all = (routes || []).flatMap((listener) => [...splits(listener), unmatched(listener)].filter(Boolean));
  const found = all.filter((one) => matches(text, one.listener, ...one.routes.flatMap((route) => [route.name, ...route.targets.map((target) => target.cluster)])));
  const [some, more] = useSome(found, 50);
  const aside = html`<span class="muted">${span ? `shares of the last ${Math.round(span)} s` : ""}</span>
    <${Find} label="Find a route, listener, cluster" value=${text} set=${setText} />`;
  return html`<${Section} id="routes" title="Routes" aside=${aside}>
    ${!found.length && html`<${Empty}>${all.length ? "Nothing has that in its name." : "The configuration has no route."}<//>`}
    <ul class="routes">${some.map((one) => html`<${Split} key=${`${one.listener} ${one.routes[0].index}`} split=${one} colour=${colour} added=${added} span=${span} />`)}</ul>
    ${more}
  <//>`;
}

function unmatched(listener) {
  const target = listener.unmatched;
  if (!target.exchanges) return null;
  return { listener: listener.name, routes: [{ name: "no route matched", index: listener.routes.length, takes: 1, targets: [target] }] };
}

function Split({ split, colour, added, span }) {
  const parts = targets(split).map((one) => ({ ...one, kind: one.own ? "own" : colour.get(one.name), value: added(`${one.key}|all`), failed: added(`${one.key}|failed`) }));
  const whole = parts.reduce((sum, part) => sum + part.value, 0);
  const rest = split.left > 0.0001 ? `, only ${percent(1 - split.left, 1)} of these` : "";
  const replies = split.routes.some((route) => route.reply) ? ", answered by the proxy itself" : "";
  const kept = split.routes.map((route) => route.sticky).find(Boolean);
  return html`<li>
    <div class="route">
      <strong>${split.routes.map((route) => route.name).join(", ")}</strong> <${Badge} kind="plain">${split.listener}<//>
      <span class="match">${split.asks && condition(split.match)}${rest}${replies}${kept && `, kept by ${kept}`}</span>
      <span class="n muted">${rate(span ? whole / span : null)} a second</span>
    </div>
    <${Shares} parts=${parts} />
    <ul class="targets">${parts.map((part) => html`<${Target} key=${part.key} part=${part} whole=${whole} alone=${parts.length === 1} />`)}</ul>
    ${mirrors(split).map((one) => html`<${Copies} key=${one.key} mirror=${one} added=${added} />`)}
  </li>`;
}

function Target({ part, whole, alone }) {
  return html`<li>
    <span class="name"><i class=${`dot ${part.kind}`}></i>${part.name}</span>
    ${!alone && html`<b>${percent(part.value, whole)}</b>`}
    ${!alone && part.wanted !== null && html`<span class="muted">wanted ${percent(part.wanted, 1)}</span>`}
    ${part.failed > 0 && html`<span class="wrong">${percent(part.failed, part.value)} errors</span>`}
    <span class="muted">p99 ${ms(part.p99)}</span><${Usually} of=${part} />
  </li>`;
}

function Copies({ mirror, added }) {
  const [requests, failures, dropped, compared, differences] = ["requests", "failures", "dropped", "compared", "differences"].map((what) => added(`${mirror.key}|${what}`));
  return html`<div class="copies">
    <span>${mirror.percent < 100 ? `${mirror.percent} % ` : ""}copied to <b>${mirror.cluster}</b></span>
    <span class="muted">${plural(requests, "copy", "copies")}</span>
    ${failures > 0 && html`<span class="warn">${failures} without an answer</span>`}
    ${dropped > 0 && html`<span class="warn">${dropped} not sent</span>`}
    ${mirror.compare && html`<span class=${differences ? "warn" : "muted"}>${differences ? `${differences} of ${compared} answers differ` : `${compared} compared, none differs`}</span>`}
    ${mirror.last.length > 0 && html`<details><summary>The last that differed</summary>
      <ul>${[...mirror.last].reverse().map((one, index) => html`<li key=${index}><code>${one.operation}: ${one.differs}</code></li>`)}</ul>
    </details>`}
  </div>`;
}
