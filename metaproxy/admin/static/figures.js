// What the page says, made from what the API says: rates, shares, and what is wrong. Nothing here touches the page.

// -- numbers as texts

export function rate(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  if (value >= 100 || value === 0) return value.toFixed(0);
  return value >= 0.1 ? value.toFixed(1) : "<0.1";
}

export function whole(value) {
  if (value >= 1e7) return `${(value / 1e6).toFixed(0)}M`;
  return value >= 1e5 ? `${(value / 1e3).toFixed(0)}k` : `${value}`;
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 100) return `${value.toFixed(0)} ms`;
  return `${value.toFixed(value >= 10 ? 1 : 2)} ms`;
}

export function percent(part, whole) {
  if (!whole) return "–";
  const value = (100 * part) / whole;
  if (value === 0) return "0 %";
  if (value < 0.1) return "<0.1 %";
  return value < 10 || (value > 99 && value < 100) ? `${(Math.floor(value * 10) / 10).toFixed(1)} %` : `${Math.round(value)} %`;
}

export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

export function ago(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const clock = (time) => (time ? new Date(time).toLocaleTimeString([], { hour12: false }) : "–");

export const plural = (number, one, more = `${one}s`) => `${number} ${number === 1 ? one : more}`;

// -- counters, which only grow, as what was added lately

export class Counters {
  constructor() {
    this.samples = [];
  }

  add(time, values) {
    this.samples.push({ time, values });
    while (this.samples.length > 2 && time - this.samples[1].time > 60000) this.samples.shift();
    if (this.samples.length > 64) this.samples.splice(1, 1);
  }

  // [seconds, key -> added] over about the last `seconds`; before there are two samples, [0, nothing].
  lately(seconds) {
    const last = this.samples.at(-1);
    if (this.samples.length < 2) return [0, () => 0];
    const from = last.time - seconds * 1000 - 500;
    const first = this.samples.find((one) => one.time >= from && one !== last) || this.samples.at(-2);
    return [
      (last.time - first.time) / 1000,
      (key) => {
        const now = last.values.get(key) || 0;
        const before = first.values.get(key) || 0;
        return now >= before ? now - before : now; // counted anew after a change of the configuration
      },
    ];
  }
}

const WELL = new Set(["ok", "oneway", "event"]);

export const failed = (outcomes) =>
  Object.entries(outcomes).reduce((sum, [name, number]) => (WELL.has(name) ? sum : sum + number), 0);

export function told(outcomes) {
  return Object.entries(outcomes)
    .filter(([name]) => !WELL.has(name))
    .sort((a, b) => b[1] - a[1])
    .map(([name, number]) => `${name.replaceAll("_", " ")}: ${number}`)
    .join(", ");
}

const LOST = ["errors", "timeouts", "resets", "connect_errors", "connect_timeouts", "decode_errors"];
export const endpointErrors = (counts) => LOST.reduce((sum, name) => sum + (counts[name] || 0), 0);

export function clusterCounters(clusters) {
  const values = new Map();
  for (const cluster of clusters) {
    for (const [name, value] of Object.entries(cluster.counts)) values.set(`${cluster.name}|${name}`, value);
    for (const one of cluster.endpoints) {
      // A connection that can't be had is a try as well, although no request was written.
      values.set(`${cluster.name}|${one.address}|requests`, one.counts.requests + one.counts.connect_errors + one.counts.connect_timeouts);
      values.set(`${cluster.name}|${one.address}|errors`, endpointErrors(one.counts));
    }
  }
  return values;
}

export function routeCounters(listeners) {
  const values = new Map();
  for (const listener of listeners) {
    const unmatched = { targets: [listener.unmatched] };
    [...listener.routes, unmatched].forEach((route, index) => {
      route.targets.forEach((target, number) => {
        const key = `${listener.name}|${index}|${number}`;
        values.set(`${key}|all`, target.exchanges);
        values.set(`${key}|failed`, failed(target.outcomes));
      });
      (route.mirrors || []).forEach((mirror, number) => {
        const key = `${listener.name}|${index}|mirror${number}`;
        for (const what of ["requests", "failures", "dropped", "differences", "compared"]) values.set(`${key}|${what}`, mirror[what]);
      });
    });
  }
  return values;
}

// -- what a flow, an endpoint, a route is

// As the proxy's rule has it: three times the usual p99, and 5 ms.
export const unusual = ({ latency_ms, usual_p99_ms }) =>
  latency_ms.p99 !== null && usual_p99_ms !== null && latency_ms.p99 > Math.max(3 * usual_p99_ms, usual_p99_ms + 5);

export function groups(flows) {
  const found = new Map();
  for (const flow of flows) {
    const key = `${flow.caller}\n${flow.cluster}`;
    if (!found.has(key)) found.set(key, { key, caller: flow.caller, cluster: flow.cluster, rate: 0, errors: 0, rows: [] });
    const group = found.get(key);
    group.rate += flow.rate;
    group.errors += flow.errors;
    group.rows.push(flow);
  }
  const order = (a, b) => b.errors - a.errors || b.rate - a.rate;
  return [...found.values()].map((group) => ({ ...group, rows: group.rows.sort(order) })).sort(order);
}

export const matches = (text, ...words) => !text || words.some((word) => String(word).toLowerCase().includes(text.toLowerCase()));

export function endpointState(endpoint) {
  if (endpoint.drained) return endpoint.active ? "draining" : "drained";
  if (endpoint.ejected) return "ejected";
  return endpoint.logged_off ? "logged off" : endpoint.health;
}

export const usable = (endpoint) => endpointState(endpoint) === "healthy";

const SIGNS = { exact: "=", prefix: "starts with", suffix: "ends with", contains: "contains", regex: "~", in: "in", range: "in", cidr: "in", present: "present:" };

export function condition(match) {
  const tests = Object.entries(match || {}).flatMap(([key, test]) => (Array.isArray(test) ? test : [test]).map((one) => [key, one]));
  const parts = tests.map(([key, test]) => {
    if (typeof test !== "object" || test === null) return `${key} = ${test}`;
    const shown = Object.entries(test).filter(([name]) => name !== "not");
    const text = shown.map(([name, value]) => `${SIGNS[name] || name} ${Array.isArray(value) ? value.join(" | ") : value}`);
    return `${test.not === true ? "not " : ""}${key} ${text.join(" and ")}`;
  });
  return parts.join(", ") || "everything";
}

// Routes one after the other that ask for the same are one split: of what the first lets by, the next takes its percent.
// Each target has the share that it is to get (null: nobody said) of all that comes to the split.
export function splits(listener) {
  const found = [];
  listener.routes.forEach((route, index) => {
    const asks = JSON.stringify(route.match || {});
    const before = found.at(-1);
    if (before && before.asks === asks && before.left < 1) before.routes.push({ ...route, index });
    else found.push({ listener: listener.name, asks, match: route.match, left: 1, routes: [{ ...route, index }] });
    const split = found.at(-1);
    const takes = (split.left * (route.percent === undefined || route.percent === null ? 100 : route.percent)) / 100;
    split.routes.at(-1).takes = takes;
    split.left -= takes;
    if (takes === 0 && split.left === 1) split.left = 1 - 1e-12; // at 0 % it still is the first of a split
  });
  return found;
}

export function targets(split) {
  return split.routes.flatMap((route) => {
    const weights = route.clusters || {};
    const whole = Object.values(weights).reduce((sum, one) => sum + Number(one), 0);
    return route.targets.map((target, number) => ({
      key: `${split.listener}|${route.index}|${number}`,
      name: target.cluster === null ? "answered by the proxy" : target.cluster,
      own: target.cluster === null,
      route: split.routes.length > 1 ? route.name : "",
      wanted: target.cluster in weights && whole ? (route.takes * Number(weights[target.cluster])) / whole : null,
      p99: target.latency_ms.p99,
      latency_ms: target.latency_ms,
      usual_p99_ms: target.usual_p99_ms,
    }));
  });
}

export function mirrors(split) {
  return split.routes.flatMap((route) => (route.mirrors || []).map((mirror, number) => ({ ...mirror, key: `${split.listener}|${route.index}|mirror${number}` })));
}

// A colour for each cluster, the same wherever it stands; with more than six they come again.
export const colours = (clusters) => new Map((clusters || []).map((one, index) => [one.name, `c${index % 6}`]));

// -- what is wrong, worst first: as the proxy says, and that it says nothing

export function problems({ lost, problems, flows }) {
  const silent = { level: "bad", what: "The proxy does not answer", detail: `Last answer at ${clock(lost)}. What stands below is from then.` };
  return [...(lost ? [silent] : []), ...(problems || []).map((one) => withOperations(one, flows))];
}

// Which operations fail only the traffic says, which is counted while somebody looks.
function withOperations(problem, flows) {
  if (problem.kind !== "requests_fail") return problem;
  const failing = (flows ? flows.flows : []).filter((flow) => flow.errors && flow.cluster === (problem.cluster || "-"));
  const operations = [...new Set(failing.map((flow) => flow.operation))].slice(0, 3).join(", ");
  return operations ? { ...problem, detail: `${problem.detail}: ${operations}` } : problem;
}
