"use strict";
/* The sections of the page. */

/* ---- sections ---- */

const contents = el("ul", {class: "contents"}), navigation = el("nav", {"aria-label": "Contents"}, contents);
function section(id, title, ...children) {
  contents.append(el("li", null, el("a", {href: "#" + id}, title)));
  return el("section", {id}, el("h2", null, title), children);
}
const counts = data.counts;
const study = data.kind === "study";
const specs = data.sweeps.map(s => parse(s.spec));
function plain(value) {
  return Array.isArray(value)            ? value.map(plain).join(", ") :
      value && typeof value === "object" ? JSON.stringify(value) :
                                           String(value);
}
function bestMetric(map) { return ORDER.find(m => map.mean[m]); }
function mapsOf(sweep, group) {
  return data.maps.filter(m => m.sweep === sweep && (m.group === null ? -1 : m.group) === group);
}
function lengthsOf(maps) {
  const n = new Map();
  for (const m of maps)
    if (m.length !== null) n.set(m.stack + " " + m.length, {stack: m.stack, length: m.length, samples: m.samples});
  return [...n.values()];
}
function header() {
  const model = manifest.get("model"), family = manifest.get("family"),
        sha = manifest.get("model_sha256") || manifest.get("sha256");
  const parts = [];
  if (model)
    parts.push([
      "Model ", el("code", null, model.replace(/\/+$/, "").split("/").pop()), family ? " (" + family + ")" : "",
      sha ? [", weights ", el("code", null, sha.slice(0, 12))] : ""
    ]);
  parts.push(study ? count(counts.done, "sample") + ", " + count(counts.rows, "run") : count(counts.rows, "run"));
  if (manifest.get("version")) parts.push("fovea " + manifest.get("version"));
  if (manifest.get("created")) parts.push(manifest.get("created").slice(0, 10));
  return el(
      "header", null, el("h1", null, data.title),
      el("p", {class: "byline"}, parts.map((p, i) => [i ? " \u00b7 " : "", p])), navigation);
}

function inShort() {
  const items = [];
  let intervals = confirmations().length > 0;
  if (study) {
    const out = counts.excluded + counts.failed;
    items.push([
      el("b", null, count(counts.done, "sample")), " of " + counts.samples.toLocaleString("en-US") + " computed",
      out ? [", ", el("a", {href: "#excluded"}, count(out, "left out", "left out")), " with the reason"] : "", "."
    ]);
  } else if (data.samples.length === 1) {
    const s = data.samples[0];
    items.push([
      s.question ? ["\u201c", s.question, "\u201d: "] : "", "the model answers ",
      el("b", null, s.answer || s.correct || "?"),
      s.clean_prob !== undefined ?
          [
            ", probability ", el("b", {class: "number"}, three(s.clean_prob)), " clean and ",
            el("b", {class: "number"}, three(s.corrupt_prob)), " corrupted"
          ] :
          "",
      "."
    ]);
  }
  for (const text of checkSentences()) items.push(text);
  for (const text of circuitSentences()) items.push(text);
  data.sweeps.forEach((sweep, i) => {
    if ((data.circuits || []).some(c => c.sweep === i)) return;
    const all = mapsOf(i, -1);
    const kinds = all.filter((m, k) => all.findIndex(other => sameSite(other, m)) === k);
    for (const kind of kinds) {
      const mine = all.filter(m => sameSite(m, kind)), lengths = mine.filter(m => m.length !== null);
      if (!lengths.length) continue;
      const heads = lengths[0].heads.length > 1;
      const pooled = mine.find(m => m.length === null);
      const map = study && heads && pooled ? pooled : lengths.reduce((a, b) => b.samples > a.samples ? b : a);
      const metric = bestMetric(map);
      const best = metric && strongest(map, metric, map === pooled ? 0 : undefined);
      if (!best) continue;
      const half = study ? interval(map, metric, best.r, best.l, best.h) : null;
      intervals = intervals || half !== null;
      items.push([
        study ? [el("i", null, sweep.name), ": strongest "] : "Strongest: ",
        el("code", null, address(map, best.r, best.l, best.h)),
        " (", map.length !== null ? rowName(map, best.r) : "all rows", ")",
        kinds.some(other => other.corrupt !== kind.corrupt) ? [", corrupted: ", el("code", null, cut(kind.corrupt, 60))] :
                                                              "",
        ", " + (map.samples > 1 ? "mean " : "") + METRICS[metric].title + " ",
        el("b", {class: "number"}, three(best.v)),
        half !== null ? " [" + three(best.v - half) + ", " + three(best.v + half) + "]" : "",
        map.samples > 1 ?
            " over " + count(map.samples, "sample") + (map.length !== null ? " with " + count(map.length, "row") : "") :
            "",
        "."
      ]);
    }
  });
  const list = some => el("ul", null, some.map(item => el("li", null, item))), most = 10;
  return el(
      "div", {class: "short"}, el("h2", null, "In short"), list(items.slice(0, most)),
      items.length > most ?
          el("details", null, el("summary", null, items.length - most + " more"), list(items.slice(most))) :
          null,
      intervals ?
          el("p", {class: "small soft"},
             "Brackets are 95 % intervals over samples. That of a strongest cell takes no account of its choice " +
                 "among all cells.") :
          null);
}

/* ---- what was asked ---- */

/* What a single trace or patch was told, as its manifest has it, which names several sites or corruptions one by one. */
function settings() {
  const keys = ["site", "restore", "heads", "rows", "layers", "window", "corrupt", "direction", "draws", "target"];
  return keys.flatMap(k => data.manifest.filter(([key, value]) => key === k && value))
      .map(([key, value]) => [key, el("span", {class: "mono"}, value)]);
}
/* The sites, and the corruption, of a sweep that names none. */
function sitesOf(i) {
  const sites = mapsOf(i, -1).filter(m => m.site).map(m => m.stack + (m.layers[0] === null ? "." : ".*.") + m.site);
  return [...new Set(sites)].join(", ");
}
function corrupted(i) {
  return [...new Set(data.maps.filter(m => m.sweep === i && m.corrupt).map(m => m.corrupt))].join(", ");
}
/* A text that may be broken within an address or a list, so that a table of many columns fits the page. */
function breakable(text) {
  return el("span", null, text.split(/(?<=[.,:=@])/).flatMap((part, i) => i ? [el("wbr"), part] : [part]));
}
function sweepTable() {
  const defaults = {
    site: null,
    heads: "all",
    rows: "all",
    layers: "all",
    layer_start: 0,
    window: 1,
    corrupt: null,
    pad_attended: false,
    direction: "denoise",
    draws: 10,
    noise_redraw: false,
    answers: "own",
    target: "own"
  };
  const given = (s, k) => s && s[k] !== undefined && s[k] !== null && s[k].length !== 0;
  const used = Object.keys(defaults).filter(
      k => defaults[k] === null || specs.some(s => given(s, k) && s[k] !== defaults[k]));
  /* What the sweep did not name: the kind's own sites and corruption, the default, or nothing where its kind has none. */
  const own = (i, k) => k === "site"        ? sitesOf(i) :
      k === "corrupt"                       ? corrupted(i) :
      specs[i] && specs[i][k] !== undefined ? String(defaults[k]) :
                                              "";
  const runs = i =>
      data.maps.filter(m => m.sweep === i && m.group === null && m.length !== null).reduce((n, m) => n + m.runs, 0);
  return table(
      ["sweep", "kind", ...used, "runs"],
      data.sweeps.map(
          (s, i) =>
              [s.name, s.kind,
               ...used.map(k => breakable(given(specs[i], k) ? plain(specs[i][k]) : own(i, k))),
               runs(i).toLocaleString("en-US")]),
      {right: [used.length + 2]});
}
function asked() {
  const first = data.samples.find(s => s.status === "done");
  const example = study && first && first.question ?
      el("p", null, "For example, ", el("i", null, first.name || "the sample"), ": \u201c", first.question, "\u201d",
         first.correct ? [", correct answer ", el("b", null, first.correct)] : "",
         first.incorrect ? [", incorrect ", el("b", null, first.incorrect)] : "", ".") :
      null;
  return section(
      "asked", "What was asked",
      el("p", null,
         "Each run is one input computed with one activation, at one layer, token and (where named) head, exchanged. ",
         data.sweeps.some(s => s.kind === "patch") ?
             "Patching writes a state of the clean run into the corrupted one (denoise) or the other way (noise), " +
                 "and measures how far the answer moves. " :
             "",
         data.sweeps.some(s => s.kind === "trace") ?
             "Tracing corrupts the input, puts single states of the clean run back, and measures the probability " +
                 "of the answer." :
             ""),
      example, study ? sweepTable() : table(null, settings(), {class: "facts"}),
      el("dl", {class: "terms"},
         ORDER.filter(m => data.maps.some(map => map.mean[m]))
             .map(m => [el("dt", null, m), el("dd", null, METRICS[m].about)])));
}

/* ---- maps ---- */

function sweepFigures(i) {
  const everything = mapsOf(i, -1), lengths = lengthsOf(everything);
  if (!lengths.length) return el("p", {class: "soft"}, "No results yet.");
  const metricNames = ORDER.filter(m => everything.some(map => map.mean[m]));
  const byCount = lengths.slice().sort((a, b) => b.samples - a.samples);
  const several =
      new Set(everything.filter(m => m.length !== null).map(m => [place(m), m.corrupt, m.op, m.window].join(" ")))
          .size > 1;
  const state = {metric: metricNames[0], group: -1, length: new Map(), common: false};
  for (const l of byCount)
    if (!state.length.has(l.stack)) state.length.set(l.stack, l.length);
  const body = el("div"), entries = [];
  function draw() {
    const maps = mapsOf(i, state.group), nodes = [];
    let row = null;
    entries.length = 0;
    const shown = maps.filter(m => m.length !== null && m.length === state.length.get(m.stack) && m.mean[state.metric]);
    const poolOf = map => maps.find(m => m.length === null && m.mean[state.metric] && sameSite(m, map));
    const scaled = list =>
        scaleOf(list.flatMap(m => hasHeads(m) && poolOf(m) ? [m, poolOf(m)] : [m]), state.metric, null);
    const common = state.common && shown.length ? scaled(shown) : null;
    for (const map of shown) {
      const site = siteFigures(map, poolOf(map), state.metric, null, common || scaled([map]));
      entries.push({map, site});
      if (!row || site.nodes.length > 1) nodes.push(row = el("div", {class: "figures"}));
      row.append(...site.nodes);
      if (site.nodes.length > 1) row = null;
    }
    body.replaceChildren(
        ...(nodes.length ? nodes : [el("p", {class: "soft"}, "No samples of this length in this group.")]));
  }
  const redraw = () => {
    const n = figureNumber;
    figureNumber = first;
    draw();
    figureNumber = Math.max(n, figureNumber);
  };
  const stacks = [...new Set(byCount.map(l => l.stack))];
  const controls =
      el("div", {class: "controls"},
         metricNames.length > 1 ? select(
                                      "metric", metricNames.map(m => [m, METRICS[m].title]), state.metric,
                                      v => {
                                        state.metric = v;
                                        redraw();
                                      }) :
                                  null,
         data.groups.length ? select(
                                  "samples", [[-1, "all"], ...data.groups.map((g, k) => [k, g])], -1,
                                  v => {
                                    state.group = +v;
                                    redraw();
                                  }) :
                              null,
         stacks.map(stack => {
           const list = byCount.filter(l => l.stack === stack).sort((a, b) => a.length - b.length);
           return list.length > 1 ? select(
                                        stacks.length > 1 ? "rows of " + stack : "rows",
                                        list.map(l => [l.length, l.length + " (" + count(l.samples, "sample") + ")"]),
                                        state.length.get(stack),
                                        v => {
                                          state.length.set(stack, +v);
                                          redraw();
                                        }) :
                                    null;
         }),
         several ? select("colours", [["", "a scale for each site"], ["common", "one scale for all"]], "", v => {
           state.common = v === "common";
           redraw();
         }) : null);
  const first = figureNumber;
  draw();
  figures.push({
    sweep: data.sweeps[i].name,
    seek(text) {
      for (const e of entries) {
        const hit = seekIn(e.site, e.map, text);
        if (hit) return hit;
      }
      return null;
    }
  });
  return [controls, body];
}
function maps() {
  return section(
      "maps", study ? "Maps" : "Map",
      study ?
          el("p", {class: "hint small soft"},
             "Means over the samples whose text has the same number of rows, but where a caption says otherwise; a " +
                 "token followed by " +
                 DOTS +
                 " is the most frequent of several. All figures of a site have one scale of colours. Hatched cells " +
                     "(grey in large maps) were not computed or have no value.") :
          null,
      data.sweeps.map((s, i) => [study ? el("h3", null, s.name) : null, sweepFigures(i)]));
}

/* ---- samples ---- */

/* The pictures of a sample, clean and corrupted: [label, data or null, file]. */
function shotsOf(s) {
  const many = s.pictures.length > 1;
  return s.pictures
      .flatMap(
          (p, i) => [["clean", p.picture, p.image], ["corrupted", p.corrupt_picture, p.corrupt_image]].map(
              ([label, at, file]) =>
                  [label + " picture" + (many ? " " + (i + 1) : ""), at === undefined ? null : data.pictures[at],
                   file]))
      .filter(([, shot, file]) => shot || file);
}
function samples() {
  if (!study && data.samples.length < 2) return single(data.samples[0]);
  const shown = data.samples.filter(s => s.status === "done");
  const detail = el("div", {class: "sample", hidden: true}),
        cards =
            el("div", {class: "cards", role: "group", "aria-label": "samples; the arrow keys go from one to the next"}),
        total = el("span");
  const state = {text: "", group: ""};
  let visible = [], current = null;
  const groups = [...new Set(shown.map(s => s.group).filter(g => g))];
  function card(s) {
    const shots = shotsOf(s).filter(([, shot]) => shot);
    return el(
        "button", {
          class: "card",
          type: "button",
          "aria-pressed": String(current === s),
          tabindex: current === s ? 0 : -1,
          onclick: () => open(s, true)
        },
        shots.length ? el("span", {class: "thumbs"}, shots.map(([alt, src]) => el("img", {src, alt}))) : null,
        el("span", {class: "name"}, s.name), el("span", {class: "what"}, s.question || ""),
        s.correct ? el("span", {class: "what"}, s.correct, s.incorrect ? " / " + s.incorrect : "") : null);
  }
  function list() {
    const needle = state.text.toLowerCase();
    visible = shown.filter(s => (!state.group || s.group === state.group) && (!needle || [
                                  s.name, s.question, s.correct, s.incorrect, s.answer, s.label
                                ].some(t => t && t.toLowerCase().includes(needle))));
    total.textContent = visible.length === shown.length ? count(shown.length, "sample") :
                                                          visible.length + " of " + count(shown.length, "sample");
    total.setAttribute("role", "status");
    cards.replaceChildren(...visible.slice(0, 1000).map(card));
    if (!visible.includes(current) && cards.firstChild) cards.firstChild.tabIndex = 0;
  }
  /* One stop of the tab key; the arrow keys go from card to card. */
  cards.addEventListener("keydown", event => {
    const list = [...cards.children], at = list.indexOf(document.activeElement);
    const to = {
      ArrowLeft: at - 1,
      ArrowUp: at - 1,
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      Home: 0,
      End: list.length - 1
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (list[to]) {
      list[at].tabIndex = -1;
      list[to].tabIndex = 0;
      list[to].focus();
    }
  });
  function open(s, scroll) {
    current = s;
    [...cards.children].forEach((node, i) => {
      node.setAttribute("aria-pressed", String(visible[i] === s));
      node.tabIndex = visible[i] === s ? 0 : -1;
    });
    const at = visible.indexOf(s), step = d => () => {
      if (visible[at + d]) open(visible[at + d]);
    };
    detail.hidden = false;
    const n = figureNumber;
    const body = sampleBody(s);
    figureNumber = n;
    const button = (d, name, sign) =>
        el("button", {type: "button", onclick: step(d), disabled: !visible[at + d], "aria-label": name}, sign);
    const steps = [button(-1, "previous sample", "\u2190"), button(1, "next sample", TO)];
    const held = detail.firstChild ? [...detail.firstChild.children].indexOf(document.activeElement) : -1;
    detail.replaceChildren(el("div", {class: "steps"}, steps), el("h3", null, s.name), ...body.nodes);
    if (held >= 0) steps[steps[held].disabled ? 1 - held : held].focus();
    if (scroll) detail.scrollIntoView({block: "nearest"});
    return body;
  }
  list();
  const notes = [];
  if (counts.samples > data.samples.length)
    notes.push(
        "Only the first " + data.samples.length.toLocaleString("en-US") + " of " + count(counts.samples, "sample") +
        " are listed.");
  const fewer = counts.with_pictures < counts.samples, own = counts.with_maps < counts.done;
  if (fewer && own && counts.with_pictures === counts.with_maps)
    notes.push("The first " + counts.with_maps + " bring their pictures and their own maps.");
  else {
    if (fewer) notes.push("The first " + counts.with_pictures + " bring their pictures.");
    if (own) notes.push("The first " + counts.with_maps + " bring their own maps.");
  }
  if (own) notes.push("All " + counts.done.toLocaleString("en-US") + " are in the means.");
  if (counts.pictures_missing)
    notes.push(count(counts.pictures_missing, "picture") + " could not be read when this page was written.");
  if (counts.pictures_changed)
    notes.push(
        count(counts.pictures_changed, "picture") + " changed since the study and " +
        (counts.pictures_changed === 1 ? "is" : "are") + " not shown.");
  figures.push({
    samples: true,
    open: name => {
      const s = shown.find(x => x.name === name);
      return s ? open(s) : null;
    }
  });
  const node = section(
      "samples", "Samples", notes.length ? el("p", {class: "small soft"}, notes.join(" ")) : null,
      el("div", {class: "controls"}, el("label", null, "find", el("input", {
                                          type: "search",
                                          oninput: event => {
                                            state.text = event.target.value;
                                            list();
                                          }
                                        })),
         groups.length > 1 ? select(
                                 "group", [["", "all"], ...groups.map(g => [g, g])], "",
                                 v => {
                                   state.group = v;
                                   list();
                                 }) :
                             null,
         total),
      cards, detail);
  if (shown.length) open(shown[0]);
  return node;
}
function sampleBody(s) {
  const facts = [
    ["question", s.question], ["corrupted question", s.corrupt_question], ["correct", s.correct],
    ["incorrect", s.incorrect],
    [
      "the model's answer",
      s.answer ? s.answer +
              (s.right === undefined ? "" :
                   s.right           ? " (right)" :
                                       " (wrong)") :
                 null
    ],
    ["group", s.group], ["label", s.label],
    ["probability, clean", s.clean_prob === undefined ? null : exact(s.clean_prob)],
    ["probability, corrupted", s.corrupt_prob === undefined ? null : exact(s.corrupt_prob)],
    ["logit difference, clean", s.clean_logit_diff === undefined ? null : exact(s.clean_logit_diff)],
    ["logit difference, corrupted", s.corrupt_logit_diff === undefined ? null : exact(s.corrupt_logit_diff)]
  ].filter(f => f[1] !== null && f[1] !== undefined);
  const shots = shotsOf(s);
  const entries = [];
  const maps = (s.values || []).map(own => {
    const map = data.maps[own.map], metric = ORDER.find(m => own[m]);
    if (!metric) return null;
    const site = siteFigures(map, null, metric, own, scaleOf([map], metric, own));
    entries.push({map, site});
    return [
      study ? el("p", {class: "small soft"}, "Sweep ", el("i", null, data.sweeps[map.sweep].name)) : null,
      el("div", {class: "figures"}, site.nodes)
    ];
  });
  return {
    nodes: [
      shots.length ? el("div", {class: "pictures"},
                        shots.map(
                            ([label, src, file]) =>
                                el("figure", null, src ? el("img", {src, alt: label}) : null,
                                   el("figcaption", null, label.replace(" picture", ""),
                                      file ? [" ", el("code", null, cut(file, 60))] : "")))) :
                     null,
      facts.length ? table(null, facts, {class: "facts"}) : null, maps
    ].flat(9).filter(n => n),
    seek(text) {
      for (const e of entries) {
        const hit = seekIn(e.site, e.map, text);
        if (hit) return hit;
      }
      return null;
    }
  };
}
function single(s) {
  if (!s) return null;
  const without = Object.assign({}, s, {values: null});
  figures.push({samples: true, open: () => null});
  return section("samples", "The input", sampleBody(without).nodes);
}

/* ---- what was left out, and the manifest ---- */

function excluded() {
  const out = data.samples.filter(s => s.status !== "done");
  if (!out.length) return null;
  const reasons = new Map();
  for (const s of out) {
    const key = s.reason || s.status;
    reasons.set(key, [...(reasons.get(key) || []), s]);
  }
  return section(
      "excluded", "Left out",
      table(
          ["reason", "samples", "which"],
          [...reasons]
              .sort((a, b) => b[1].length - a[1].length)
              .map(
                  ([reason, list]) =>
                      [reason, String(list.length),
                       list.length > 12 ? el("details", null, el("summary", null, list[0].name + ", " + DOTS),
                                             list.map(s => s.name).join(", ")) :
                                          list.map(s => s.name).join(", ")]),
          {class: "reasons", right: [1]}));
}
function provenance() {
  return section(
      "manifest", "Manifest",
      el("p", {class: "small soft"},
         "Everything that the numbers depend on. The same weights, inputs, settings and build give the same bits."),
      table(["key", "value"], data.manifest.map(([key, value]) => {
        const object = /^[\[{]/.test(value) ? parse(value) : null;
        return [
          el("code", null, key),
          object ?
              el("details", null, el("summary", null, "settings"), el("pre", null, JSON.stringify(object, null, 2))) :
              el("span", {class: "mono"}, value)
        ];
      })),
      el("p", {class: "foot"},
         "Written by fovea. This page holds its data and needs no network. A cell has an address: ",
         el("code", null, "#cell=ADDRESS"), " behind the page's own shows it, ", el("code", null, "&sample=NAME"),
         " or ", el("code", null, "&sweep=NAME"), " chooses where."));
}

/* ---- a cell by its address ---- */

function follow() {
  const wanted = new Map(location.hash.slice(1).split("&").map(part => {
    const at = part.indexOf("=");
    return at < 0 ? [part, ""] : [part.slice(0, at), decodeURIComponent(part.slice(at + 1))];
  }));
  let hit = null;
  if (wanted.has("sample")) {
    const browser = figures.find(f => f.samples), body = browser && browser.open(wanted.get("sample"));
    if (body && wanted.has("cell"))
      hit = body.seek(wanted.get("cell"));
    else if (body)
      document.getElementById("samples").scrollIntoView();
  } else if (wanted.has("cell")) {
    for (const f of figures)
      if (!hit && f.seek && (!wanted.has("sweep") || wanted.get("sweep") === f.sweep)) hit = f.seek(wanted.get("cell"));
  }
  if (hit) hit.node.scrollIntoView({block: "center"});
}

const parts = [asked(), maps(), circuits(), checks(), samples(), excluded(), provenance()].filter(p => p);
page.replaceChildren(header(), inShort(), ...parts);
/* Paper has no "settings" to open. */
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("#manifest details:not([open]), #excluded details:not([open])")];
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
});
addEventListener("hashchange", follow);
follow();
