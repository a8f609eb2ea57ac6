// The routes in the order in which they are tried, with the share that each target really gets.

import { html, useState } from "./htm-preact.js";
import { condition, matches, ms, percent, rate } from "./figures.js";
import { Badge, Empty, Find, Section, Shares, useSome } from "./parts.js";

export function Routes({ routes, counters, seconds }) {
  const [text, setText] = useState("");
  const [span, added] = counters.lately(seconds);
  const all = (routes || []).flatMap((listener) => [
    ...listener.routes.map((route, index) => ({ listener: listener.name, index, ...route })),
    { listener: listener.name, index: listener.routes.length, name: "-", targets: [listener.unmatched], unmatched: true },
  ]);
  const found = all.filter((route) => matches(text, route.listener, route.name, ...route.targets.map((one) => one.cluster)));
  const shown = found.filter((route) => !route.unmatched || route.targets[0].exchanges > 0);
  const [some, more] = useSome(shown, 50);
  const aside = html`<span class="muted">${span ? `shares of the last ${Math.round(span)} s` : ""}</span>
    <${Find} label="Find a route, listener, cluster" value=${text} set=${setText} />`;
  return html`<${Section} id="routes" title="Routes" aside=${aside}>
    ${!shown.length && html`<${Empty}>${all.length > 1 ? "Nothing has that in its name." : "The configuration has no route."}<//>`}
    <ul class="routes">${some.map((route) => html`<${Route} key=${`${route.listener} ${route.index}`} route=${route} added=${added} span=${span} />`)}</ul>
    ${more}
  <//>`;
}

function Route({ route, added, span }) {
  const key = (target, what) => `${route.listener}|${route.index}|${target.cluster}|${what}`;
  const weights = route.clusters || {};
  const allWeight = Object.values(weights).reduce((sum, one) => sum + Number(one), 0);
  const parts = route.targets.map((target) => ({
    name: target.cluster === null ? "answered by the proxy" : target.cluster,
    kind: target.cluster === null ? "own" : "",
    value: added(key(target, "all")),
    failed: added(key(target, "failed")),
    differences: target.differences,
    weight: allWeight && target.cluster in weights ? Number(weights[target.cluster]) / allWeight : null,
    p99: target.latency_ms.p99,
  }));
  const whole = parts.reduce((sum, part) => sum + part.value, 0);
  const traits = [
    route.percent !== undefined && route.percent !== null && `only ${route.percent} % of these`,
    route.reply && `answers ${route.reply.error || ""} itself`,
  ].filter(Boolean);
  return html`<li class=${route.unmatched ? "unmatched" : ""}>
    <div class="route">
      <strong>${route.unmatched ? "no route matched" : route.name}</strong> <${Badge} kind="plain">${route.listener}<//>
      <span class="match">${!route.unmatched && condition(route.match)}${traits.length > 0 && `, ${traits.join(", ")}`}</span>
      <span class="n muted">${rate(span ? whole / span : null)} a second</span>
    </div>
    <${Shares} parts=${parts} />
    <ul class="targets">${parts.map((part, index) => html`<li key=${part.name}>
      <i class=${`dot ${part.kind || `c${index % 6}`}`}></i><span class="name">${part.name}</span>
      <b>${whole ? percent(part.value, whole) : "–"}</b>
      ${part.weight !== null && html`<span class="muted">of ${percent(part.weight, 1)} wanted</span>`}
      ${part.failed > 0 && html`<span class="wrong">${percent(part.failed, part.value)} errors</span>`}
      ${part.differences > 0 && html`<span class="warn">${part.differences} answers differ</span>`}
      <span class="muted">p99 ${ms(part.p99)}</span>
    </li>`)}</ul>
  </li>`;
}
