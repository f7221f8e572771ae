"use strict";
/* Circuits, and what a second method says of them. */

/* ---- circuits ---- */

const headLabel = h => "L" + h.layer + "H" + h.head;
function names(heads, most) {
  const list = heads.slice(0, most).map(headLabel).join(", ");
  return heads.length > most ? list + ", " + DOTS : list;
}
function circuitOf(list, group) { return list.find(c => (c.group === null ? "" : c.group) === group); }
function circuits() {
  if (!data.circuits || !data.circuits.length) return null;
  const sites = new Map();
  for (const c of data.circuits) {
    const key = c.sweep + " " + c.stack + "." + c.site;
    sites.set(key, [...(sites.get(key) || []), c]);
  }
  return section(
      "circuits", "Circuits",
      el("p", null,
         "A head's importance is the mean over the samples of how far patching it moves the logit difference, at " +
             "the row where it moves it most, whatever the direction. Lines and brackets are bootstrap 95 % " +
             "intervals over samples. A head is in the circuit (filled dots) when its importance is at least " +
             (data.threshold === 0 ? "the mean of all heads" :
                                     data.threshold + " standard deviation" + (data.threshold === 1 ? "" : "s") +
                      " above the mean of all heads") +
             " (dashed line) and its effect has one sign, permutation test, false discovery rate 0.05."),
      [...sites.values()].map(list => {
        const first = list[0], few = list.length <= 4;
        const draw = (c, width) => {
          const sorted = c.heads.slice().sort((a, b) => b.importance - a.importance), shown = sorted.slice(0, 24);
          return [
            el("p", {class: "small soft"},
               list.length > 1 ? [el("b", null, c.group === null ? "all" : c.group), ": "] : "",
               count(c.samples, "sample") + ". " +
                   (c.size ? "In the circuit: " + names(c.heads.filter(h => h.inside), 24) + "." :
                             "No head is in the circuit.") +
                   (c.dropped ? " " + count(c.dropped, "sample") + " without the row " +
                            (c.dropped === 1 ? "is" : "are") + " left out." :
                                "") +
                   (sorted.length > shown.length ?
                        " The " + shown.length + " most important of " + sorted.length + " heads." :
                        "")),
            dots(
                shown.map(
                    h => ({label: headLabel(h), value: h.importance, low: h.low, high: h.high, hollow: !h.inside})),
                {label: "importance (logits)", left: 58, line: 19, width, mark: c.threshold}),
            el("details", null, el("summary", null, "as numbers"),
               table(
                   ["head", "importance", "low", "high", "signed mean", "q", "samples", "in the circuit"],
                   sorted.map(
                       h =>
                           [headLabel(h), exact(h.importance), exact(h.low), exact(h.high), exact(h.mean), exact(h.q),
                            String(h.n), h.inside ? "yes" : ""]),
                   {class: "numbers", right: [1, 2, 3, 4, 5, 6]}))
          ];
        };
        const caption =
            el("figcaption", null, el("b", null, "Figure " + ++figureNumber + ". "), "Importance of the heads at ",
               el("code", null, first.stack + "." + first.site), ", sweep ", el("i", null, first.sweep_name), ".",
               few && list.length > 1 ? " Every panel has an axis of its own." : "");
        if (few)
          return el(
              "figure", null, caption,
              el("div", {class: "plots " + ["", "one", "two", "three", "four"][list.length]},
                 list.map(c => el("div", null, draw(c, [0, 330, 230, 100, 200][list.length])))));
        const body = el("div", null, draw(first, 330));
        return el(
            "figure", null, caption,
            el("div", {class: "controls"},
               select(
                   "samples", list.map((c, i) => [i, c.group === null ? "all" : c.group]), 0,
                   i => body.replaceChildren(...draw(list[+i], 330)))),
            body);
      }));
}

/* ---- checks ---- */

/* Of the checks, the one that is no share: its n counts sets of heads. */
const CHECK_P = "p against random heads";

/* What `fovea circuit --confirm` wrote, as sentences. */
function confirmations() {
  const found = new Map();
  for (const c of data.checks) {
    const part = {
      "accuracy": "clean",
      "accuracy without the circuit": "circuit",
      "accuracy without random heads": "random",
      [CHECK_P]: "p"
    }[c.what];
    if (!part || c.value === null || c.n === null) continue;
    const key = [c.name, c.sweep, c.spec].join("\u0000");
    found.set(key, Object.assign(found.get(key) || {spec: parse(c.spec) || {}, sweep: c.sweep, n: c.n}, {[part]: c}));
  }
  return [...found.values()].filter(f => f.clean && f.circuit && f.random);
}
function checkSentences() {
  const share = c =>
      [el("b", {class: "number"}, percent(c.value)),
       c.low !== null && c.high !== null ?
           " [" + percent(c.low).replace(" %", "") + ", " + percent(c.high).replace(" %", "") + "]" :
           ""];
  return confirmations().map(f => {
    const heads = (f.spec.heads || []).map(h => ({layer: h[0], head: h[1]})), one = heads.length === 1;
    return [
      f.spec.group ? ["Group ", el("b", null, f.spec.group), ": the"] : "The", " model answers ", share(f.clean),
      " of ", count(f.n, "sample"), " correctly, and ", share(f.circuit), " when the output of ",
      one ? "head " : "heads ", names(heads, 8),
      f.spec.stack ? [" (", el("code", null, f.spec.stack + "." + f.spec.site), ")"] : "",
      f.spec.ablation === "zero" ? " is set to zero; " : " is replaced by its mean; ", share(f.random),
      one ? " with another head at random" : " with as many other heads at random",
      f.p           ? [" (" + count(f.p.n, "set") + ", ", el("i", null, "p"), " = " + tick(f.p.value) + ")"] :
      f.spec.random ? " (" + count(f.spec.random, "set") + ")" :
                      "",
      ". ", el("a", {href: "#checks"}, "Second method")
    ];
  });
}
function circuitSentences() {
  const bySite = new Map();
  for (const c of data.circuits || []) {
    const key = c.sweep + " " + c.site;
    bySite.set(key, [...(bySite.get(key) || []), c]);
  }
  return [...bySite.values()].map(list => {
    const parts = list.length > 1 && list.some(c => c.group !== null && c.size) ? list.filter(c => c.group !== null) :
                                                                                  list.slice(0, 1);
    return [
      el("i", null, list[0].sweep_name), ": in the circuit ",
      parts.map(
          (c, i) =>
              [i ? "; " : "", c.group !== null ? "for " + c.group + " " : "",
               c.size ? el("b", null, names(c.heads.filter(h => h.inside), 12)) : "no head"]),
      ". ", el("a", {href: "#circuits"}, "Circuits")
    ];
  });
}
function describeSpec(text) {
  const spec = parse(text);
  if (!spec || typeof spec !== "object") return cut(text, 300);
  const value = (k, v) => k === "heads" && Array.isArray(v) ? v.map(h => "L" + h[0] + "H" + h[1]).join(" ") : plain(v);
  return cut(Object.entries(spec).map(([k, v]) => k.replace(/_/g, " ") + ": " + value(k, v)).join("; "), 300);
}
function checkFigure(all) {
  const p = all.length > 1 && all.find(c => c.what === CHECK_P && c.value !== null && c.n !== null);
  const list = all.filter(c => c !== p);
  const first = all[0], sizes = [...new Set(list.map(c => c.n).filter(n => n !== null))];
  const share = list.every(c => [c.value, c.low, c.high].every(v => v === null || v >= 0 && v <= 1));
  const left = 20 + Math.ceil(6.6 * Math.min(34, Math.max(...list.map(c => (c.what || "").length))));
  const width = Math.max(80, Math.min(200, innerWidth - left - 172)); /* of a telephone too */
  return el(
      "figure", null,
      el("figcaption", null, el("b", null, "Figure " + ++figureNumber + ". "), capital(first.name || "check"),
         first.sweep ? [", from the sweep ", el("i", null, first.sweep)] : "",
         ". Dots are values, lines and brackets their 95 % intervals", sizes.length === 1 ? ", n = " + sizes[0] : "",
         "; hollow: at random.", first.spec ? " " + capital(describeSpec(first.spec)) + "." : ""),
      dots(
          list.map(c => ({
                     label: c.what || "",
                     value: c.value,
                     low: c.low,
                     high: c.high,
                     hollow: /random/i.test(c.what || "")
                   })),
          {label: share ? "share" : "value", left, line: 24, width, share}),
      p ? el("p", {class: "small soft"}, el("i", null, "p"), " = " + tick(p.value) + ": without " +
                 Math.round(p.value * (1 + p.n) - 1) + " of " + count(p.n, "random set") +
                 " of heads there are as few right answers as without the circuit.") :
          "",
      el("details", null, el("summary", null, "as numbers"),
         table(
             ["what", "value", "low", "high", "n"],
             all.map(
                 c =>
                     [c.what, exact(c.value), c.low === null ? "" : exact(c.low), c.high === null ? "" : exact(c.high),
                      c.n === null ? "" : String(c.n)]),
             {class: "numbers", right: [1, 2, 3, 4]})));
}
function checks() {
  if (!data.checks.length) return null;
  const groups = new Map();
  for (const c of data.checks) {
    const key = [c.name, c.sweep, c.spec].join("\u0000");
    groups.set(key, [...(groups.get(key) || []), c]);
  }
  return section(
      "checks", "Checked by a second method",
      el("p", null,
         "Numbers that do not come from the maps: what happens to the answers when the parts that were found are " +
             "taken out, beside what happens when as many others are."),
      [...groups.values()].map(checkFigure));
}
