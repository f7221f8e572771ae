"use strict";
(function () {
const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");
const MINUS = "\u2212", TIMES = "\u00d7", DOTS = "\u2026", DASH = "\u2013", TO = "\u2192";

/* ---- elements; texts are always text nodes ---- */

function fill(node, attributes, children) {
  for (const key in attributes) {
    const value = attributes[key];
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(9)) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}
function el(tag, attributes, ...children) { return fill(document.createElement(tag), attributes || {}, children); }
function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes || {}, children);
}
function select(label, options, value, change) {
  const box = el("select", {onchange: () => change(box.value)},
    options.map(([key, text]) => el("option", {value: key, selected: String(key) === String(value)}, text)));
  const whole = el("label", null, label, box);
  whole.box = box;
  return whole;
}
function table(head, rows, options) {
  const right = (options && options.right) || [];
  return el("div", {class: "scroll"}, el("table", {class: options && options.class},
    options && options.caption ? el("caption", null, options.caption) : null,
    head && el("thead", null, el("tr", null, head.map((h, i) => el("th", {class: right.includes(i) ? "right" : null, scope: "col"}, h)))),
    el("tbody", null, rows.map(row => el("tr", null,
      row.map((cell, i) => el("td", {class: right.includes(i) ? "right" : null}, cell)))))));
}

/* ---- numbers ---- */

/* The digits that the CSV has. */
function exact(v) {
  if (v === null || v === undefined || Number.isNaN(v)) return "empty";
  if (!Number.isFinite(v)) return v < 0 ? "-inf" : "inf";
  const a = Math.abs(v);
  return v !== 0 && (a < 1e-5 || a >= 1e16) ? v.toExponential().replace("e+", "e") : String(v);
}
/* Two digits of the scale's end, and as many more as its span needs, up to five decimals. */
function brief(v, s) {
  if (!Number.isFinite(v)) return v < 0 ? MINUS + "\u221e" : "\u221e";
  const end = Math.max(Math.abs(s.lo), Math.abs(s.hi));
  if (end >= 1e4 || end < 1e-4) return v === 0 ? "0" : v.toExponential(0).replace("+", "").replace(/-/g, MINUS);
  const least = end >= 100 ? 0 : end >= 10 ? 1 : 2, span = s.zero ? end : s.hi - s.lo;
  const text = v.toFixed(s.whole ? 0 : Math.min(5, Math.max(least, 1 - Math.floor(Math.log10(span)))));
  if (v === 0) return "0";
  return (/[1-9]/.test(text) ? text : text.replace("-", "")).replace("-", MINUS);
}
function three(v) {
  if (v === null || v === undefined || !Number.isFinite(v)) return "";
  const a = Math.abs(v);
  return (a === 0 ? "0" : a < 0.001 ? v.toExponential(1) : a < 100 ? v.toFixed(3) : v.toPrecision(4)).replace(/-/g, MINUS);
}
/* Three digits, or as many as are asked for, without trailing zeros: for axes. */
function tick(v, digits) {
  const a = Math.abs(v);
  return (a !== 0 && (a < 0.001 || a >= 1e5) ? v.toExponential(1) : String(+v.toPrecision(digits || 3))).replace("+", "").replace(/-/g, MINUS);
}
function percent(v) { return (100 * v).toFixed(1) + " %"; }
function capital(text) { return text[0].toUpperCase() + text.slice(1); }
function count(n, one, many) { return n.toLocaleString("en-US") + " " + (n === 1 ? one : many || one + "s"); }

const METRICS = {
  effect: {title: "effect", colors: "RdBu", zero: true,
    about: "share of the logit difference that the patch moves: 0 as without it, 1 as in the other run"},
  restored: {title: "restored probability", colors: "RdBu", zero: true,
    about: "(prob " + MINUS + " corrupt_prob) / (clean_prob " + MINUS + " corrupt_prob): 0 as corrupted, 1 as clean"},
  prob: {title: "probability", colors: "cividis", about: "probability of the answer in this run"},
  p_diff: {title: "probability difference", colors: "RdBu", zero: true, about: "prob " + MINUS + " corrupt_prob"},
  logit_diff: {title: "logit difference", colors: "RdBu", zero: true, about: "logit of the correct answer " + MINUS + " logit of the incorrect one, in this run"},
  kl: {title: "KL divergence", colors: "cividis", about: "KL(clean \u2016 this run) over the whole vocabulary, in nats"},
  rank: {title: "rank", colors: "cividis", about: "how many answers have a larger logit; 0 is the top answer"}
};
const ORDER = ["effect", "prob", "restored", "p_diff", "logit_diff", "kl", "rank"];

/* ---- colours ---- */

const palettes = {};
for (const name in data.colors) palettes[name] = data.colors[name].match(/.{6}/g);
function makeScale(metric, lists, low) {
  const m = METRICS[metric];
  let lo = Infinity, hi = -Infinity;
  for (const list of lists) for (const v of list) if (v !== null && Number.isFinite(v)) { if (v < lo) lo = v; if (v > hi) hi = v; }
  if (lo > hi) { lo = 0; hi = 1; }
  if (m.zero) { hi = Math.max(Math.abs(lo), Math.abs(hi)) || 1; lo = -hi; }
  else { if (low !== undefined && low < lo) lo = low; if (lo === hi) { const half = Math.abs(lo) / 2 || 1; lo -= half; hi += half; } }
  const colors = palettes[m.colors];
  const color = v => "#" + colors[Math.max(0, Math.min(255, Math.floor(256 * (v - lo) / (hi - lo))))];
  const ink = v => {
    const c = parseInt(color(v).slice(1), 16), f = x => Math.pow(x / 255, 2.2);
    return 0.2126 * f(c >> 16) + 0.7152 * f(c >> 8 & 255) + 0.0722 * f(c & 255) > 0.18 ? "black" : "white";
  };
  const whole = lists.every(list => list.every(v => v === null || !Number.isFinite(v) || Number.isInteger(v)));
  return {lo, hi, zero: m.zero, whole, color, ink};
}

/* ---- one heat map ---- */

const tip = el("div", {class: "tip", hidden: true});
document.body.append(tip);
function showTip(x, y, text) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = (y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 16) + "px";
}
function cut(text, n) { const c = Array.from(text); return c.length > n ? c.slice(0, n - 1).join("") + DOTS : text; }

let patterns = 0;
function hatch(id) {
  return svg("pattern", {id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)"},
    svg("rect", {width: 6, height: 6, fill: "#e9e9e9"}), svg("line", {x1: 0, y1: 0, x2: 0, y2: 6, stroke: "#9a9a9a", "stroke-width": 2}));
}
function pixels(o, color) {
  const canvas = document.createElement("canvas");
  canvas.width = o.cols.length; canvas.height = o.rows.length;
  const context = canvas.getContext("2d");
  for (let r = 0; r < o.rows.length; r++) for (let c = 0; c < o.cols.length; c++) {
    const v = o.get(r, c);
    context.fillStyle = v === null ? "#c9c9c9" : color(v);
    context.fillRect(c, r, 1, 1);
  }
  return canvas.toDataURL();
}

/* o: rows, cols (labels), x, y (axis titles), measure (what the colour is), get(r, c), tell(r, c), pick(r, c), scale, width, square, name */
function heatmap(o) {
  const R = o.rows.length, C = o.cols.length, s = o.scale;
  const widest = Math.max(...o.rows.map(l => Math.min(Array.from(l).length, 20)), 1);
  const left = Math.ceil(22 + 6.6 * widest), right = 74, top = 18, bottom = 34;
  const cw = Math.max(2, Math.min(o.square ? Math.floor(400 / R) : 54, Math.floor((o.width - left - right) / C)));
  const ch = o.square ? Math.max(2, Math.min(cw, Math.floor(400 / R))) : Math.max(1.2, Math.min(25, Math.floor(480 / R) || 480 / R));
  const W = C * cw, H = R * ch, total = Math.max(H, 64), width = left + W + right, height = top + total + bottom;
  const id = "hatch" + patterns++;
  const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, width, height, tabindex: 0, role: "application",
    "aria-roledescription": "heat map", "aria-label": o.name + ". " + R + " by " + C + " cells. The arrow keys move between cells."});
  picture.append(svg("defs", null, hatch(id)));
  if (R * C > 4000) {
    picture.append(svg("image", {href: pixels(o, s.color), x: left, y: top, width: W, height: H, preserveAspectRatio: "none",
      class: "pixels"}));
  } else {
    const notes = cw >= 30 && ch >= 15 && R * C <= 420;
    for (let r = 0; r < R; r++) for (let c = 0; c < C; c++) {
      const v = o.get(r, c), x = left + c * cw, y = top + r * ch;
      picture.append(svg("rect", {x, y, width: cw, height: ch, fill: v === null ? `url(#${id})` : s.color(v), class: cw > 6 && ch > 6 ? "grid" : null}));
      if (notes && v !== null)
        picture.append(svg("text", {x: x + cw / 2, y: y + ch / 2 + 3.4, "font-size": cw < 36 ? 8.5 : 9.5, "text-anchor": "middle", class: s.ink(v)}, brief(v, s)));
    }
  }
  picture.append(svg("rect", {x: left, y: top, width: W, height: H, class: "frame"}));
  const every = (size, room) => Math.max(1, Math.ceil(room / size));
  for (let r = 0; r < R; r += every(ch, 12))
    picture.append(svg("text", {x: left - 5, y: top + (r + 0.5) * ch + 3.6, "font-size": 11, "text-anchor": "end"}, svg("title", null, o.rows[r]), cut(o.rows[r], 20)));
  for (let c = 0; c < C; c += every(cw, 6.5 * Math.max(...o.cols.map(l => l.length)) + 5))
    picture.append(svg("text", {x: left + (c + 0.5) * cw, y: top + H + 13, "font-size": 11, "text-anchor": "middle"}, o.cols[c]));
  picture.append(svg("text", {x: left + W / 2, y: top + H + 28, "font-size": 11, "text-anchor": "middle", class: "soft"}, o.x));
  picture.append(svg("text", {x: 10, y: top + H / 2, "font-size": 11, "text-anchor": "middle", class: "soft", transform: `rotate(-90 10 ${top + H / 2})`}, o.y));
  colorBar(picture, s, left + W + 12, top, Math.min(total, 180));
  picture.append(svg("text", o.measure.length < 11 ? {x: left + W + 12, y: 10, "font-size": 11, class: "soft"}
    : {x: width - 2, y: 10, "font-size": 11, "text-anchor": "end", class: "soft"}, o.measure));
  const halo = svg("rect", {class: "focus-halo", width: cw, height: ch, visibility: "hidden"});
  const focus = svg("rect", {class: "focus", width: cw, height: ch, visibility: "hidden"});
  picture.append(halo, focus);
  const readout = el("output", {class: "readout hint", "aria-live": "polite"}, "Point at a cell, or use the arrow keys.");
  let at = null;
  function go(r, c) {
    at = [r, c];
    for (const box of [halo, focus]) {
      box.setAttribute("x", left + c * cw); box.setAttribute("y", top + r * ch); box.setAttribute("visibility", "visible");
    }
    readout.textContent = o.tell(r, c);
    readout.classList.remove("hint");
  }
  function cell(event) {
    const box = picture.getBoundingClientRect(), k = width / box.width;
    const c = Math.floor(((event.clientX - box.left) * k - left) / cw), r = Math.floor(((event.clientY - box.top) * k - top) / ch);
    return r >= 0 && r < R && c >= 0 && c < C ? [r, c] : null;
  }
  picture.addEventListener("pointermove", event => {
    const hit = cell(event);
    if (!hit) { tip.hidden = true; return; }
    showTip(event.clientX, event.clientY, o.tell(hit[0], hit[1]));
  });
  picture.addEventListener("pointerleave", () => { tip.hidden = true; });
  picture.addEventListener("click", event => {
    const hit = cell(event);
    if (hit) { go(...hit); if (o.pick) o.pick(...hit); }
  });
  picture.addEventListener("keydown", event => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    let next = at || [0, 0];
    if (step) { if (at) next = [at[0] + step[0], at[1] + step[1]]; }
    else if (event.key === "Home") next = [next[0], 0];
    else if (event.key === "End") next = [next[0], C - 1];
    else if (event.key === "PageUp") next = [0, next[1]];
    else if (event.key === "PageDown") next = [R - 1, next[1]];
    else if (event.key === "Enter" && at && o.pick) { o.pick(at[0], at[1]); event.preventDefault(); return; }
    else return;
    event.preventDefault();
    go(Math.max(0, Math.min(R - 1, next[0])), Math.max(0, Math.min(C - 1, next[1])));
  });
  const numbers = el("details", {ontoggle: () => {
    if (numbers.open && numbers.children.length === 1) numbers.append(table([o.y + " \\ " + o.x, ...o.cols],
      o.rows.map((label, r) => [label, ...o.cols.map((_, c) => exact(o.get(r, c)))]), {class: "numbers"}));
  }}, el("summary", null, "as numbers"));
  return {node: [picture, readout, numbers], go, picture};
}
function colorBar(picture, s, x, y, h) {
  const n = 64;
  for (let i = 0; i < n; i++) {
    const v = s.hi - (s.hi - s.lo) * (i + 0.5) / n;
    picture.append(svg("rect", {x, y: y + h * i / n, width: 10, height: h / n + 0.4, fill: s.color(v)}));
  }
  picture.append(svg("rect", {x, y, width: 10, height: h, class: "frame"}));
  const ticks = s.zero ? [s.hi, 0, s.lo] : [s.hi, (s.hi + s.lo) / 2, s.lo];
  let digits = 3;
  while (digits < 7 && new Set(ticks.map(v => tick(v, digits))).size < ticks.length) digits++;
  ticks.forEach((v, i) => picture.append(svg("text", {x: x + 14, y: y + 8 + i * (h - 9) / 2, "font-size": 10, class: "soft"}, tick(v, digits))));
}

/* ---- maps of the data ---- */

/* `own` are the values of one sample in a map; without it the means over samples are meant. */
const EMPTY = [];
function values(map, metric, own) { return (own ? own[metric] : map.mean[metric]) || EMPTY; }
function valueAt(map, metric, own, r, l, h) {
  const v = values(map, metric, own)[(r * map.layers.length + l) * map.heads.length + h];
  return v === undefined ? null : v;
}
/* One number of a list that has one for all cells when they agree. */
function numberAt(map, list, r, l, h) {
  return !list ? null : list.length === 1 ? list[0] : list[(r * map.layers.length + l) * map.heads.length + h];
}
function place(map) { return (map.stack || "") + (map.site ? "." + map.site : ""); }
function hasHeads(map) { return map.heads.length > 1 || map.heads[0] !== null; }
function sameSite(a, b) { return place(a) === place(b) && a.corrupt === b.corrupt && a.op === b.op && a.window === b.window; }
/* Rows of a picture have places, not tokens. */
function ofPicture(map) { return map.stack === "vision" || map.stack === "projector"; }

const SEVERAL_PICTURES = data.samples.some(s => s.pictures.length > 1);
/* Rows that are patches of the one picture, as a square: its side, and the row of the first patch. */
function patches(map) {
  if (!ofPicture(map) || SEVERAL_PICTURES) return null;
  for (const first of [1, 0]) {
    const side = Math.round(Math.sqrt(map.length - first));
    if (side >= 3 && side * side === map.length - first && map.rows.length === map.length) return {side, first};
  }
  return null;
}
/* The name that addresses have for a row of a picture. */
function patchName(map, r) {
  const grid = patches(map), at = grid ? map.rows[r] - grid.first : 0;
  if (!grid) return null;
  return at < 0 ? "cls" : "image[" + Math.floor(at / grid.side) + "," + at % grid.side + "]";
}

function address(map, r, l, h) {
  const layer = map.layers[l], head = map.heads[h];
  return (map.stack || "") + (layer === null ? "" : "." + layer) + (map.site ? "." + map.site : "") +
    (head === null || h < 0 ? "" : "#" + head) +
    (map.length === null ? (map.rows[r] === 0 ? "@answer" : "@all") : "@" + map.rows[r]);
}
/* The token of a row, and in which share of the samples it stands there. */
function tokenOf(map, r, own) {
  if (own && own.pieces) return {piece: own.pieces[r], share: 1};
  return {piece: map.pieces && map.pieces[r], share: map.share ? map.share[r] : 1};
}
function rowName(map, r, own) {
  if (map.length === null) return map.rows[r] === 0 ? "the answer's word" : "all rows";
  const {piece, share} = tokenOf(map, r, own);
  if (!piece) return patchName(map, r) || "row " + map.rows[r];
  return share < 0.995 ? piece + " " + DOTS : piece;
}
function rowNote(map, r, own) {
  if (map.length === null) return rowName(map, r);
  const {piece, share} = tokenOf(map, r, own);
  if (!piece) return "row " + map.rows[r] + (patchName(map, r) ? ", " + patchName(map, r) : "");
  return "row " + map.rows[r] + " \u201c" + piece + "\u201d" + (share < 0.995 ? " in " + percent(share) + " of the runs" : "");
}
function tellCell(map, metric, r, l, h, own) {
  const text = address(map, r, l, h) + " (" + rowNote(map, r, own) + "): " + metric + " " + exact(valueAt(map, metric, own, r, l, h));
  if (own) {
    const others = ["prob", "logit_diff"].filter(other => other !== metric && own[other]);
    return text + others.map(other => ", " + other + " " + exact(valueAt(map, other, own, r, l, h))).join("") +
      (own.draws > 1 ? " (mean of " + own.draws + " draws)" : "");
  }
  const runs = numberAt(map, map.n[metric], r, l, h), samples = numberAt(map, map.of[metric], r, l, h);
  const sd = map.sd[metric] ? valueAt({...map, mean: map.sd}, metric, null, r, l, h) : null;
  return text + (runs > 1 ? ", mean of " + runs + " runs" + (runs === samples ? "" : " of " + count(samples, "sample")) : "") +
    (sd !== null ? ", sd " + exact(sd) : "");
}
/* Half of a normal 95 % interval of a mean over samples; null where they do not count alike. */
function interval(map, metric, r, l, h) {
  const sd = map.sd[metric] ? valueAt({...map, mean: map.sd}, metric, null, r, l, h) : null;
  const n = numberAt(map, map.of[metric], r, l, h), pooled = map.length === null && map.rows[r] !== 0;
  return sd === null || n < 2 || pooled ? null : 1.96 * sd / Math.sqrt(n);
}
/* The colours of some maps: one scale over all that they hold, so that every choice of head or row can be compared. */
function scaleOf(maps, metric, own) {
  const low = metric === "prob" ? Math.min(...maps.map(map => map.corrupt_prob)) : undefined;
  return makeScale(metric, maps.map(map => values(map, metric, map.length === null ? null : own)), low);
}
function strongest(map, metric, r, own) {
  let best = null;
  map.rows.forEach((_, row) => map.layers.forEach((_, l) => map.heads.forEach((_, h) => {
    const v = valueAt(map, metric, own, row, l, h);
    if ((r === undefined || r === row) && v !== null && Number.isFinite(v) && (!best || Math.abs(v) > Math.abs(best.v))) best = {r: row, l, h, v};
  })));
  return best;
}

const figures = [];
let figureNumber = 0;

/* A figure whose caption and drawing are replaced when something is chosen. */
function figure(caption, draw, controls) {
  const text = el("figcaption"), body = el("div"), number = ++figureNumber;
  const node = el("figure", null, text, controls ? el("div", {class: "controls"}, controls) : null, body);
  const self = {node, number, map: null, redraw() {
    self.map = draw();
    text.replaceChildren();
    fill(text, null, [el("b", null, "Figure " + number + ". "), caption()]);
    body.replaceChildren(...self.map.node);
  }};
  self.redraw();
  return self;
}
function layerAxis(map) { return map.window > 1 ? "layer (centre of " + map.window + ")" : "layer"; }

/* Rows by layers: one head, or with head < 0 the mean over heads. */
function rowsByLayers(map, metric, own, head, scale, width) {
  const H = map.heads.length;
  const get = (r, l) => {
    if (head >= 0) return valueAt(map, metric, own, r, l, head);
    const list = map.heads.map((_, h) => valueAt(map, metric, own, r, l, h)).filter(v => v !== null && Number.isFinite(v));
    return list.length ? list.reduce((a, b) => a + b) / list.length : null;
  };
  const tell = (r, l) => head >= 0 ? tellCell(map, metric, r, l, head, own)
    : address(map, r, l, -1) + " (" + rowNote(map, r, own) + "): " + metric + " " + exact(get(r, l)) + ", mean over " + H + " heads";
  const what = ofPicture(map) ? "row" : "token";
  return heatmap({rows: map.rows.map((_, r) => rowName(map, r, own)), cols: map.layers.map(l => l === null ? DASH : String(l)),
    x: layerAxis(map), y: what, measure: METRICS[metric].title, get, tell, width, scale,
    name: place(map) + ", " + METRICS[metric].title + ", " + what + "s by layers"});
}
function headsGrid(map, metric, own, r, scale, pick) {
  const get = (l, h) => valueAt(map, metric, own, r, l, h);
  return heatmap({rows: map.layers.map(String), cols: map.heads.map(String), x: "head", y: layerAxis(map), measure: METRICS[metric].title,
    get, tell: (l, h) => tellCell(map, metric, r, l, h, own), width: 470, scale, pick,
    name: place(map) + ", " + METRICS[metric].title + ", layers by heads"});
}
function patchGrid(map, metric, own, l, h, scale, grid) {
  const row = (r, c) => grid.first + r * grid.side + c, labels = Array.from({length: grid.side}, (_, i) => String(i));
  return heatmap({rows: labels, cols: labels, x: "patch column", y: "patch row", measure: METRICS[metric].title, square: true, width: 470, scale,
    get: (r, c) => valueAt(map, metric, own, row(r, c), l, h),
    tell: (r, c) => tellCell(map, metric, row(r, c), l, h, own),
    name: place(map) + ", " + METRICS[metric].title + ", over the picture"});
}

/* What a caption says: where, of what, how many are behind it. r: the row of a pooled map. */
function whereCaption(map) {
  return [el("code", null, place(map)), map.corrupt ? [", corrupted: ", el("code", null, cut(map.corrupt, 60))] : "",
    map.window > 1 ? ", window of " + map.window + " layers" : "", map.group === null ? "" : [", group ", el("b", null, data.groups[map.group])], ". "];
}
function behindCaption(map, own, r) {
  const cells = map.rows.length * map.layers.length * map.heads.length, draws = own ? own.draws : map.runs / cells / map.samples;
  const several = draws > 1 && Number.isInteger(draws), samples = count(map.samples, "sample"), parts = [];
  if (own || map.samples < 2) { if (several) parts.push("mean of " + draws + " draws"); }
  else if (map.length === null) parts.push("mean over " + (map.rows[r] === 0 ? samples + ", each at its own row" : "all rows of " + samples));
  else parts.push("mean over " + samples + " with " + count(map.length, "row") + (several ? ", " + draws + " draws each" : ""));
  if (!own) parts.push("probability of the answer " + three(map.clean_prob) + " clean, " + three(map.corrupt_prob) + " corrupted");
  return parts.length ? " " + capital(parts.join("; ")) + "." : "";
}

/* The figures of one site: {nodes, seek(at, l, h, r)}. pool: the map of pooled rows, where there are heads. */
function siteFigures(map, pool, metric, own, scale) {
  if (!hasHeads(map)) return plainFigures(map, metric, own, scale);
  const options = [];
  if (pool && pool.mean[metric]) for (const r of pool.rows.keys()) options.push(["p" + r, rowName(pool, r)]);
  map.rows.forEach((_, r) => options.push(["r" + r, "row " + map.rows[r] + ", " + rowName(map, r, own)]));
  let row = options[0][0];
  const chosen = () => row[0] === "p" ? [pool, +row.slice(1)] : [map, +row.slice(1)];
  let head = own ? strongest(map, metric, undefined, own) : strongest(chosen()[0], metric, chosen()[1]);
  head = head ? head.h : 0;
  const headName = () => head < 0 ? "mean over heads" : "head " + map.heads[head];
  const rowBox = select("row", options, row, v => { row = v; grid.redraw(); });
  const headBox = select("head", [[-1, "mean over heads"], ...map.heads.map((h, i) => [i, "head " + h])], head, v => { head = +v; tokens.redraw(); });
  const grid = figure(() => [whereCaption(map), capital(METRICS[metric].title), " by layer and head, ", options.find(o => o[0] === row)[1], ".", behindCaption(chosen()[0], own, chosen()[1]),
    el("span", {class: "hint"}, " A click shows the head at every " + (ofPicture(map) ? "row." : "token."))], () => {
    const [m, r] = chosen();
    return headsGrid(m, metric, m === map ? own : null, r, scale, (l, h) => { head = h; headBox.box.value = h; tokens.redraw(); });
  }, rowBox);
  const tokens = figure(() => [whereCaption(map), capital(METRICS[metric].title), " by " + (ofPicture(map) ? "row" : "token") + " and layer, ", headName(), ".", behindCaption(map, own), " Colours as in Figure " + grid.number + "."],
    () => rowsByLayers(map, metric, own, head, scale, 470), headBox);
  return {nodes: [grid.node, tokens.node], seek: (at, l, h, r) => {
    if (h >= 0) {
      row = at === "answer" ? "p0" : at === "all" ? "p" + (pool.rows.length - 1) : "r" + r;
      rowBox.box.value = row; grid.redraw(); grid.map.go(l, h); return grid;
    }
    head = -1; headBox.box.value = -1; tokens.redraw(); tokens.map.go(r, l); return tokens;
  }};
}
/* Without single heads: rows by layers, and for a picture one layer over its patches. */
function plainFigures(map, metric, own, scale) {
  const grid = patches(map), best = grid && strongest(map, metric, undefined, own);
  const one = figure(() => [whereCaption(map), capital(METRICS[metric].title), " by " + (ofPicture(map) ? "row" : "token") + " and layer.", behindCaption(map, own)],
    () => rowsByLayers(map, metric, own, 0, scale, best ? 470 : 620));
  const nodes = [one.node];
  if (best) {
    let layer = best.l;
    const box = select("layer", map.layers.map((l, i) => [i, String(l)]), layer, v => { layer = +v; over.redraw(); });
    const over = figure(() => [whereCaption(map), capital(METRICS[metric].title), " over the picture's patches, layer " + map.layers[layer] + ". Colours as in Figure " + one.number + "."],
      () => patchGrid(map, metric, own, layer, 0, scale, grid), box);
    nodes.push(over.node);
  }
  return {nodes, seek: (at, l, h, r) => { one.map.go(r, l); return one; }};
}
function seekIn(site, map, text) {
  const m = /^([^.]+)(?:\.(\d+))?(?:\.([^#@]+))?(?:#(\d+))?@(\d+|answer|all)$/.exec(text);
  if (!m || m[1] !== map.stack || (m[3] || null) !== (map.site || null)) return null;
  const l = map.layers.indexOf(m[2] === undefined ? null : +m[2]), r = map.rows.indexOf(+m[5]), h = m[4] === undefined ? -1 : map.heads.indexOf(+m[4]);
  if (l < 0 || (r < 0 && /\d/.test(m[5])) || (m[4] !== undefined && h < 0)) return null;
  return site.seek(m[5], l, h, r);
}

/* ---- sections ---- */

const contents = el("ul", {class: "contents"}), navigation = el("nav", {"aria-label": "Contents"}, contents);
function section(id, title, ...children) {
  contents.append(el("li", null, el("a", {href: "#" + id}, title)));
  return el("section", {id}, el("h2", null, title), children);
}
const manifest = new Map(data.manifest);
const counts = data.counts;
const study = data.kind === "study";
function parse(text) { try { return text ? JSON.parse(text) : null; } catch (e) { return null; } }
const specs = data.sweeps.map(s => parse(s.spec));
function plain(value) { return Array.isArray(value) ? value.map(plain).join(", ") : value && typeof value === "object" ? JSON.stringify(value) : String(value); }
function bestMetric(map) { return ORDER.find(m => map.mean[m]); }
function mapsOf(sweep, group) { return data.maps.filter(m => m.sweep === sweep && (m.group === null ? -1 : m.group) === group); }
function lengthsOf(maps) {
  const n = new Map();
  for (const m of maps) if (m.length !== null) n.set(m.stack + " " + m.length, {stack: m.stack, length: m.length, samples: m.samples});
  return [...n.values()];
}
function header() {
  const model = manifest.get("model"), family = manifest.get("family"), sha = manifest.get("model_sha256") || manifest.get("sha256");
  const parts = [];
  if (model) parts.push(["Model ", el("code", null, model.replace(/\/+$/, "").split("/").pop()), family ? " (" + family + ")" : "", sha ? [", weights ", el("code", null, sha.slice(0, 12))] : ""]);
  parts.push(study ? count(counts.done, "sample") + ", " + count(counts.rows, "run") : count(counts.rows, "run"));
  if (manifest.get("version")) parts.push("fovea " + manifest.get("version"));
  if (manifest.get("created")) parts.push(manifest.get("created").slice(0, 10));
  return el("header", null, el("h1", null, data.title), el("p", {class: "byline"}, parts.map((p, i) => [i ? " \u00b7 " : "", p])), navigation);
}

function inShort() {
  const items = [];
  let intervals = confirmations().length > 0;
  if (study) {
    const out = counts.excluded + counts.failed;
    items.push([el("b", null, count(counts.done, "sample")), " of " + counts.samples.toLocaleString("en-US") + " computed",
      out ? [", ", el("a", {href: "#excluded"}, count(out, "left out", "left out")), " with the reason"] : "", "."]);
  } else if (data.samples.length === 1) {
    const s = data.samples[0];
    items.push([s.question ? ["\u201c", s.question, "\u201d: "] : "", "the model answers ", el("b", null, s.answer || s.correct || "?"), s.clean_prob !== undefined ?
      [", probability ", el("b", {class: "number"}, three(s.clean_prob)), " clean and ", el("b", {class: "number"}, three(s.corrupt_prob)), " corrupted"] : "", "."]);
  }
  for (const text of checkSentences()) items.push(text);
  for (const text of circuitSentences()) items.push(text);
  data.sweeps.forEach((sweep, i) => {
    if ((data.circuits || []).some(c => c.sweep === i)) return;
    const all = mapsOf(i, -1);
    const sites = [...new Set(all.map(place))];
    for (const site of sites) {
      const mine = all.filter(m => place(m) === site), lengths = mine.filter(m => m.length !== null);
      if (!lengths.length) continue;
      const heads = lengths[0].heads.length > 1;
      const pooled = mine.find(m => m.length === null);
      const map = heads && pooled ? pooled : lengths.reduce((a, b) => b.samples > a.samples ? b : a);
      const metric = bestMetric(map);
      const best = metric && strongest(map, metric, map === pooled ? 0 : undefined);
      if (!best) continue;
      const half = study ? interval(map, metric, best.r, best.l, best.h) : null;
      intervals = intervals || half !== null;
      items.push([study ? [el("i", null, sweep.name), ": strongest "] : "Strongest: ", el("code", null, address(map, best.r, best.l, best.h)), map.length !== null ? [" (", rowName(map, best.r), ")"] : "",
        ", " + (map.samples > 1 ? "mean " : "") + METRICS[metric].title + " ", el("b", {class: "number"}, three(best.v)), half !== null ? " [" + three(best.v - half) + ", " + three(best.v + half) + "]" : "",
        map.samples > 1 ? " over " + count(map.samples, "sample") + (map.length !== null ? " with " + count(map.length, "row") : "") : "", "."]);
    }
  });
  const list = some => el("ul", null, some.map(item => el("li", null, item))), most = 10;
  return el("div", {class: "short"}, el("h2", null, "In short"), list(items.slice(0, most)),
    items.length > most ? el("details", null, el("summary", null, items.length - most + " more"), list(items.slice(most))) : null,
    intervals ? el("p", {class: "small soft"}, "Brackets are 95 % intervals over samples. That of a strongest cell takes no account of its choice among all cells.") : null);
}

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
  for (const c of data.circuits) { const key = c.sweep + " " + c.stack + "." + c.site; sites.set(key, [...(sites.get(key) || []), c]); }
  return section("circuits", "Circuits",
    el("p", null, "A head's importance is the mean over the samples of how far patching it moves the logit difference, at the row where it moves it most, whatever the direction. Lines and brackets are bootstrap 95 % intervals over samples. A head is in the circuit (filled dots) when its importance is at least " + (data.threshold === 0 ? "the mean of all heads" : data.threshold + " standard deviation" + (data.threshold === 1 ? "" : "s") + " above the mean of all heads") + " (dashed line) and its effect has one sign, permutation test, false discovery rate 0.05."),
    [...sites.values()].map(list => {
      const first = list[0], few = list.length <= 4;
      const draw = (c, width) => {
        const sorted = c.heads.slice().sort((a, b) => b.importance - a.importance), shown = sorted.slice(0, 24);
        return [el("p", {class: "small soft"}, list.length > 1 ? [el("b", null, c.group === null ? "all" : c.group), ": "] : "", count(c.samples, "sample") + ". " + (c.size ? "In the circuit: " + names(c.heads.filter(h => h.inside), 24) + "." : "No head is in the circuit.") +
          (c.dropped ? " " + count(c.dropped, "sample") + " without the row " + (c.dropped === 1 ? "is" : "are") + " left out." : "") + (sorted.length > shown.length ? " The " + shown.length + " most important of " + sorted.length + " heads." : "")),
          dots(shown.map(h => ({label: headLabel(h), value: h.importance, low: h.low, high: h.high, hollow: !h.inside})), {label: "importance (logits)", left: 58, line: 19, width, mark: c.threshold}),
          el("details", null, el("summary", null, "as numbers"), table(["head", "importance", "low", "high", "signed mean", "q", "samples", "in the circuit"],
            sorted.map(h => [headLabel(h), exact(h.importance), exact(h.low), exact(h.high), exact(h.mean), exact(h.q), String(h.n), h.inside ? "yes" : ""]), {class: "numbers", right: [1, 2, 3, 4, 5, 6]}))];
      };
      const caption = el("figcaption", null, el("b", null, "Figure " + ++figureNumber + ". "), "Importance of the heads at ", el("code", null, first.stack + "." + first.site), ", sweep ", el("i", null, first.sweep_name), ".", few && list.length > 1 ? " Every panel has an axis of its own." : "");
      if (few) return el("figure", null, caption, el("div", {class: "plots " + ["", "one", "two", "three", "four"][list.length]}, list.map(c => el("div", null, draw(c, [0, 330, 230, 100, 200][list.length])))));
      const body = el("div", null, draw(first, 330));
      return el("figure", null, caption, el("div", {class: "controls"}, select("samples", list.map((c, i) => [i, c.group === null ? "all" : c.group]), 0, i => body.replaceChildren(...draw(list[+i], 330)))), body);
    }));
}

/* ---- checks ---- */

/* What `fovea circuit --confirm` wrote, as sentences. */
function confirmations() {
  const found = new Map();
  for (const c of data.checks) {
    const part = {"accuracy": "clean", "accuracy without the circuit": "circuit", "accuracy without random heads": "random"}[c.what];
    if (!part || c.value === null) continue;
    const key = [c.name, c.sweep, c.spec].join("\u0000");
    found.set(key, Object.assign(found.get(key) || {spec: parse(c.spec) || {}, sweep: c.sweep, n: c.n}, {[part]: c}));
  }
  return [...found.values()].filter(f => f.clean && f.circuit && f.random);
}
function checkSentences() {
  const share = c => [el("b", {class: "number"}, percent(c.value)), c.low !== null && c.high !== null ? " [" + percent(c.low).replace(" %", "") + ", " + percent(c.high).replace(" %", "") + "]" : ""];
  return confirmations().map(f => {
    const heads = (f.spec.heads || []).map(h => ({layer: h[0], head: h[1]})), one = heads.length === 1;
    return [f.spec.group ? ["Group ", el("b", null, f.spec.group), ": the"] : "The", " model answers ", share(f.clean), " of ", count(f.n, "sample"), " correctly, and ", share(f.circuit), " when the output of ", one ? "head " : "heads ", names(heads, 8),
      f.spec.stack ? [" (", el("code", null, f.spec.stack + "." + f.spec.site), ")"] : "", f.spec.ablation === "zero" ? " is set to zero; " : " is replaced by its mean; ", share(f.random), one ? " with another head at random" : " with as many other heads at random",
      f.spec.random ? " (" + f.spec.random + " sets)" : "", ". ", el("a", {href: "#checks"}, "Second method")];
  });
}
function circuitSentences() {
  const bySite = new Map();
  for (const c of data.circuits || []) { const key = c.sweep + " " + c.site; bySite.set(key, [...(bySite.get(key) || []), c]); }
  return [...bySite.values()].map(list => {
    const parts = list.length > 1 && list.some(c => c.group !== null && c.size) ? list.filter(c => c.group !== null) : list.slice(0, 1);
    return [el("i", null, list[0].sweep_name), ": in the circuit ", parts.map((c, i) => [i ? "; " : "", c.group !== null ? "for " + c.group + " " : "", c.size ? el("b", null, names(c.heads.filter(h => h.inside), 12)) : "no head"]), ". ", el("a", {href: "#circuits"}, "Circuits")];
  });
}
function niceStep(span, steps) {
  const ten = Math.pow(10, Math.floor(Math.log10(span / steps)));
  return ten * [1, 2, 2.5, 5, 10].find(k => (steps + 0.5) * k * ten >= span);
}
/* Values with intervals, one line each, on an axis that begins at 0 or below. rows: label, value, low, high, hollow.
 * o: label of the axis, left and width in pixels, line (its height), share (the axis is 0 to 1), mark (a dashed line). */
function dots(rows, o) {
  const mark = Number.isFinite(o.mark) ? o.mark : null, left = o.left, W = o.width, line = o.line, H = rows.length * line;
  const known = rows.flatMap(r => [r.value, r.low, r.high]).concat(mark).filter(v => v !== null);
  const step = o.share ? 0.25 : niceStep(Math.max(...known, 0) - Math.min(...known, 0) || 1, W < 150 ? 2 : 4);
  const lo = Math.floor(Math.min(0, ...known) / step) * step, hi = o.share ? 1 : Math.ceil(Math.max(...known) / step - 1e-9) * step || step;
  const x = v => left + W * (v - lo) / (hi - lo), width = left + W + 132;
  const picture = svg("svg", {viewBox: `0 0 ${width} ${H + 38}`, width, height: H + 38, role: "img",
    "aria-label": o.label + ": " + rows.map(r => r.label + " " + three(r.value)).join("; ")});
  for (let v = lo; v <= hi + step / 2; v += step)
    picture.append(svg("line", {x1: x(v), x2: x(v), y1: 2, y2: H + 4, class: "axis"}), svg("text", {x: x(v), y: H + 17, "font-size": 10.5, "text-anchor": "middle", class: "soft"}, tick(v)));
  picture.append(svg("text", {x: left + W / 2, y: H + 32, "font-size": 11, "text-anchor": "middle", class: "soft"}, o.label));
  if (mark !== null) picture.append(svg("line", {x1: x(mark), x2: x(mark), y1: 2, y2: H + 4, class: "mark"}, svg("title", null, "threshold " + three(mark))));
  rows.forEach((r, i) => {
    const y = (i + 0.5) * line + 2, bounds = r.low !== null && r.high !== null;
    picture.append(svg("text", {x: left - 14, y: y + 4, "font-size": 12, "text-anchor": "end"}, svg("title", null, r.label), cut(r.label, Math.floor((left - 14) / 6.2))));
    if (bounds) picture.append(svg("line", {x1: x(r.low), x2: x(r.high), y1: y, y2: y, class: "whisker"}));
    if (r.value !== null) picture.append(svg("circle", {cx: x(r.value), cy: y, r: 4, class: r.hollow ? "dot hollow" : "dot"}));
    picture.append(svg("text", {x: left + W + 12, y: y + 4, "font-size": 11}, three(r.value) + (bounds ? "  [" + three(r.low) + ", " + three(r.high) + "]" : "")));
  });
  return picture;
}
function describeSpec(text) {
  const spec = parse(text);
  if (!spec || typeof spec !== "object") return cut(text, 300);
  const value = (k, v) => k === "heads" && Array.isArray(v) ? v.map(h => "L" + h[0] + "H" + h[1]).join(" ") : plain(v);
  return cut(Object.entries(spec).map(([k, v]) => k.replace(/_/g, " ") + ": " + value(k, v)).join("; "), 300);
}
function checkFigure(list) {
  const first = list[0], sizes = [...new Set(list.map(c => c.n).filter(n => n !== null))];
  const share = list.every(c => [c.value, c.low, c.high].every(v => v === null || v >= 0 && v <= 1));
  const widest = Math.min(34, Math.max(...list.map(c => (c.what || "").length)));
  return el("figure", null,
    el("figcaption", null, el("b", null, "Figure " + ++figureNumber + ". "), capital(first.name || "check"), first.sweep ? [", from the sweep ", el("i", null, first.sweep)] : "", ". Dots are values, lines and brackets their 95 % intervals",
      sizes.length === 1 ? ", n = " + sizes[0] : "", "; hollow: at random.", first.spec ? " " + capital(describeSpec(first.spec)) + "." : ""),
    dots(list.map(c => ({label: c.what || "", value: c.value, low: c.low, high: c.high, hollow: /random/i.test(c.what || "")})),
      {label: share ? "share" : "value", left: 20 + Math.ceil(6.6 * widest), line: 24, width: 200, share}),
    el("details", null, el("summary", null, "as numbers"), table(["what", "value", "low", "high", "n"],
      list.map(c => [c.what, exact(c.value), c.low === null ? "" : exact(c.low), c.high === null ? "" : exact(c.high), c.n === null ? "" : String(c.n)]), {class: "numbers", right: [1, 2, 3, 4]})));
}
function checks() {
  if (!data.checks.length) return null;
  const groups = new Map();
  for (const c of data.checks) { const key = [c.name, c.sweep, c.spec].join("\u0000"); groups.set(key, [...(groups.get(key) || []), c]); }
  return section("checks", "Checked by a second method",
    el("p", null, "Numbers that do not come from the maps: what happens to the answers when the parts that were found are taken out, beside what happens when as many others are."),
    [...groups.values()].map(checkFigure));
}

/* ---- what was asked ---- */

/* What a single trace or patch was told, as its manifest has it. */
function settings() {
  const keys = ["site", "restore", "heads", "rows", "layers", "window", "corrupt", "direction", "draws", "target"];
  return keys.filter(k => manifest.get(k)).map(k => [k, el("span", {class: "mono"}, manifest.get(k))]);
}
/* The corruption of a sweep that names none. */
function corrupted(i) { return [...new Set(data.maps.filter(m => m.sweep === i && m.corrupt).map(m => m.corrupt))].join(", "); }
function sweepTable() {
  const keys = ["site", "restore", "heads", "rows", "layers", "window", "corrupt", "direction", "draws", "answers"];
  const defaults = {window: 1, draws: 10, direction: "denoise", answers: "own", heads: "all", rows: "all", layers: "all"};
  const given = (s, k) => s && s[k] !== undefined && s[k] !== null;
  const used = keys.filter(k => k === "corrupt" || specs.some(s => given(s, k) && s[k] !== defaults[k]));
  const runs = i => data.maps.filter(m => m.sweep === i && m.group === null && m.length !== null).reduce((n, m) => n + m.runs, 0);
  return table(["sweep", "kind", ...used, "runs"], data.sweeps.map((s, i) => [s.name, s.kind,
    ...used.map(k => k === "corrupt" && specs[i] && !given(specs[i], k) ? corrupted(i) : given(specs[i], k) ? plain(specs[i][k]) : specs[i] && defaults[k] ? String(defaults[k]) : ""), runs(i).toLocaleString("en-US")]), {right: [used.length + 2]});
}
function asked() {
  const first = data.samples.find(s => s.status === "done");
  const example = study && first && first.question ? el("p", null, "For example, ", el("i", null, first.name || "the sample"), ": \u201c", first.question, "\u201d", first.correct ? [", correct answer ", el("b", null, first.correct)] : "", first.incorrect ? [", incorrect ", el("b", null, first.incorrect)] : "", ".") : null;
  return section("asked", "What was asked",
    el("p", null, "Each run is one input computed with one activation, at one layer, token and (where named) head, exchanged. ",
      data.sweeps.some(s => s.kind === "patch") ? "Patching writes a state of the clean run into the corrupted one (denoise) or the other way (noise), and measures how far the answer moves. " : "",
      data.sweeps.some(s => s.kind === "trace") ? "Tracing corrupts the input, puts single states of the clean run back, and measures the probability of the answer." : ""), example,
    study ? sweepTable() : table(null, settings(), {class: "facts"}),
    el("dl", {class: "terms"}, ORDER.filter(m => data.maps.some(map => map.mean[m])).map(m => [el("dt", null, m), el("dd", null, METRICS[m].about)])));
}

/* ---- maps ---- */

function sweepFigures(i) {
  const everything = mapsOf(i, -1), lengths = lengthsOf(everything);
  if (!lengths.length) return el("p", {class: "soft"}, "No results yet.");
  const metricNames = ORDER.filter(m => everything.some(map => map.mean[m]));
  const byCount = lengths.slice().sort((a, b) => b.samples - a.samples);
  const several = new Set(everything.filter(m => m.length !== null).map(m => [place(m), m.corrupt, m.op, m.window].join(" "))).size > 1;
  const state = {metric: metricNames[0], group: -1, length: new Map(), common: false};
  for (const l of byCount) if (!state.length.has(l.stack)) state.length.set(l.stack, l.length);
  const body = el("div"), entries = [];
  function draw() {
    const maps = mapsOf(i, state.group), nodes = [];
    let row = null;
    entries.length = 0;
    const shown = maps.filter(m => m.length !== null && m.length === state.length.get(m.stack) && m.mean[state.metric]);
    const poolOf = map => maps.find(m => m.length === null && m.mean[state.metric] && sameSite(m, map));
    const scaled = list => scaleOf(list.flatMap(m => hasHeads(m) && poolOf(m) ? [m, poolOf(m)] : [m]), state.metric, null);
    const common = state.common && shown.length ? scaled(shown) : null;
    for (const map of shown) {
      const site = siteFigures(map, poolOf(map), state.metric, null, common || scaled([map]));
      entries.push({map, site});
      if (!row || site.nodes.length > 1) nodes.push(row = el("div", {class: "figures"}));
      row.append(...site.nodes);
      if (site.nodes.length > 1) row = null;
    }
    body.replaceChildren(...(nodes.length ? nodes : [el("p", {class: "soft"}, "No samples of this length in this group.")]));
  }
  const redraw = () => { const n = figureNumber; figureNumber = first; draw(); figureNumber = Math.max(n, figureNumber); };
  const stacks = [...new Set(byCount.map(l => l.stack))];
  const controls = el("div", {class: "controls"},
    metricNames.length > 1 ? select("metric", metricNames.map(m => [m, METRICS[m].title]), state.metric, v => { state.metric = v; redraw(); }) : null,
    data.groups.length ? select("samples", [[-1, "all"], ...data.groups.map((g, k) => [k, g])], -1, v => { state.group = +v; redraw(); }) : null,
    stacks.map(stack => {
      const list = byCount.filter(l => l.stack === stack).sort((a, b) => a.length - b.length);
      return list.length > 1 ? select(stacks.length > 1 ? "rows of " + stack : "rows", list.map(l => [l.length, l.length + " (" + count(l.samples, "sample") + ")"]), state.length.get(stack), v => { state.length.set(stack, +v); redraw(); }) : null;
    }),
    several ? select("colours", [["", "a scale for each site"], ["common", "one scale for all"]], "", v => { state.common = v === "common"; redraw(); }) : null);
  const first = figureNumber;
  draw();
  figures.push({sweep: data.sweeps[i].name, seek(text) {
    for (const e of entries) { const hit = seekIn(e.site, e.map, text); if (hit) return hit; }
    return null;
  }});
  return [controls, body];
}
function maps() {
  return section("maps", study ? "Maps" : "Map", study ? el("p", {class: "hint small soft"}, "Means over the samples whose text has the same number of rows, but where a caption says otherwise; a token followed by " + DOTS + " is the most frequent of several. All figures of a site have one scale of colours. Hatched cells (grey in large maps) were not computed or have no value.") : null,
    data.sweeps.map((s, i) => [study ? el("h3", null, s.name) : null, sweepFigures(i)]));
}

/* ---- samples ---- */

/* The pictures of a sample, clean and corrupted: [label, data or null, file]. */
function shotsOf(s) {
  const many = s.pictures.length > 1;
  return s.pictures.flatMap((p, i) => [["clean", p.picture, p.image], ["corrupted", p.corrupt_picture, p.corrupt_image]]
    .map(([label, at, file]) => [label + " picture" + (many ? " " + (i + 1) : ""), at === undefined ? null : data.pictures[at], file]))
    .filter(([, shot, file]) => shot || file);
}
function samples() {
  if (!study && data.samples.length < 2) return single(data.samples[0]);
  const shown = data.samples.filter(s => s.status === "done");
  const detail = el("div", {class: "sample", hidden: true}), cards = el("div", {class: "cards", role: "group", "aria-label": "samples; the arrow keys go from one to the next"}), total = el("span");
  const state = {text: "", group: ""};
  let visible = [], current = null;
  const groups = [...new Set(shown.map(s => s.group).filter(g => g))];
  function card(s) {
    const shots = shotsOf(s).filter(([, shot]) => shot);
    return el("button", {class: "card", type: "button", "aria-pressed": String(current === s), tabindex: current === s ? 0 : -1, onclick: () => open(s, true)},
      shots.length ? el("span", {class: "thumbs"}, shots.map(([alt, src]) => el("img", {src, alt}))) : null,
      el("span", {class: "name"}, s.name), el("span", {class: "what"}, s.question || ""), s.correct ? el("span", {class: "what"}, s.correct, s.incorrect ? " / " + s.incorrect : "") : null);
  }
  function list() {
    const needle = state.text.toLowerCase();
    visible = shown.filter(s => (!state.group || s.group === state.group) && (!needle || [s.name, s.question, s.correct, s.incorrect, s.answer, s.label].some(t => t && t.toLowerCase().includes(needle))));
    total.textContent = visible.length === shown.length ? count(shown.length, "sample") : visible.length + " of " + count(shown.length, "sample");
    total.setAttribute("role", "status");
    cards.replaceChildren(...visible.slice(0, 1000).map(card));
    if (!visible.includes(current) && cards.firstChild) cards.firstChild.tabIndex = 0;
  }
  /* One stop of the tab key; the arrow keys go from card to card. */
  cards.addEventListener("keydown", event => {
    const list = [...cards.children], at = list.indexOf(document.activeElement);
    const to = {ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: list.length - 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (list[to]) { list[at].tabIndex = -1; list[to].tabIndex = 0; list[to].focus(); }
  });
  function open(s, scroll) {
    current = s;
    [...cards.children].forEach((node, i) => { node.setAttribute("aria-pressed", String(visible[i] === s)); node.tabIndex = visible[i] === s ? 0 : -1; });
    const at = visible.indexOf(s), step = d => () => { if (visible[at + d]) open(visible[at + d]); };
    detail.hidden = false;
    const n = figureNumber;
    const body = sampleBody(s);
    figureNumber = n;
    detail.replaceChildren(el("div", {class: "steps"}, el("button", {type: "button", onclick: step(-1), disabled: at < 1, "aria-label": "previous sample"}, "\u2190"), el("button", {type: "button", onclick: step(1), disabled: !visible[at + 1], "aria-label": "next sample"}, TO)), el("h3", null, s.name), ...body.nodes);
    if (scroll) detail.scrollIntoView({block: "nearest"});
    return body;
  }
  list();
  const notes = [];
  if (counts.samples > data.samples.length) notes.push("Only the first " + data.samples.length.toLocaleString("en-US") + " of " + count(counts.samples, "sample") + " are listed.");
  const fewer = counts.with_pictures < counts.samples, own = counts.with_maps < counts.done;
  if (fewer && own && counts.with_pictures === counts.with_maps) notes.push("The first " + counts.with_maps + " bring their pictures and their own maps.");
  else {
    if (fewer) notes.push("The first " + counts.with_pictures + " bring their pictures.");
    if (own) notes.push("The first " + counts.with_maps + " bring their own maps.");
  }
  if (own) notes.push("All " + counts.done.toLocaleString("en-US") + " are in the means.");
  if (counts.pictures_missing) notes.push(count(counts.pictures_missing, "picture") + " could not be read when this page was written.");
  if (counts.pictures_changed) notes.push(count(counts.pictures_changed, "picture") + " changed since the study and " + (counts.pictures_changed === 1 ? "is" : "are") + " not shown.");
  figures.push({samples: true, open: name => { const s = shown.find(x => x.name === name); return s ? open(s) : null; }});
  const node = section("samples", "Samples", notes.length ? el("p", {class: "small soft"}, notes.join(" ")) : null,
    el("div", {class: "controls"}, el("label", null, "find", el("input", {type: "search", oninput: event => { state.text = event.target.value; list(); }})),
      groups.length > 1 ? select("group", [["", "all"], ...groups.map(g => [g, g])], "", v => { state.group = v; list(); }) : null, total), cards, detail);
  if (shown.length) open(shown[0]);
  return node;
}
function sampleBody(s) {
  const facts = [["question", s.question], ["corrupted question", s.corrupt_question], ["correct", s.correct], ["incorrect", s.incorrect], ["the model's answer", s.answer ? s.answer + (s.right === undefined ? "" : s.right ? " (right)" : " (wrong)") : null],
    ["group", s.group], ["label", s.label], ["probability, clean", s.clean_prob === undefined ? null : exact(s.clean_prob)], ["probability, corrupted", s.corrupt_prob === undefined ? null : exact(s.corrupt_prob)],
    ["logit difference, clean", s.clean_logit_diff === undefined ? null : exact(s.clean_logit_diff)], ["logit difference, corrupted", s.corrupt_logit_diff === undefined ? null : exact(s.corrupt_logit_diff)]].filter(f => f[1] !== null && f[1] !== undefined);
  const shots = shotsOf(s);
  const entries = [];
  const maps = (s.values || []).map(own => {
    const map = data.maps[own.map], metric = ORDER.find(m => own[m]);
    if (!metric) return null;
    const site = siteFigures(map, null, metric, own, scaleOf([map], metric, own));
    entries.push({map, site});
    return [study ? el("p", {class: "small soft"}, "Sweep ", el("i", null, data.sweeps[map.sweep].name)) : null, el("div", {class: "figures"}, site.nodes)];
  });
  return {nodes: [shots.length ? el("div", {class: "pictures"}, shots.map(([label, src, file]) => el("figure", null, src ? el("img", {src, alt: label}) : null, el("figcaption", null, label.replace(" picture", ""), file ? [" ", el("code", null, cut(file, 60))] : "")))) : null,
    facts.length ? table(null, facts, {class: "facts"}) : null, maps].flat(9).filter(n => n),
    seek(text) { for (const e of entries) { const hit = seekIn(e.site, e.map, text); if (hit) return hit; } return null; }};
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
  for (const s of out) { const key = s.reason || s.status; reasons.set(key, [...(reasons.get(key) || []), s]); }
  return section("excluded", "Left out", table(["reason", "samples", "which"], [...reasons].sort((a, b) => b[1].length - a[1].length).map(([reason, list]) =>
    [reason, String(list.length), list.length > 12 ? el("details", null, el("summary", null, list[0].name + ", " + DOTS), list.map(s => s.name).join(", ")) : list.map(s => s.name).join(", ")]), {class: "reasons", right: [1]}));
}
function provenance() {
  return section("manifest", "Manifest", el("p", {class: "small soft"}, "Everything that the numbers depend on. The same weights, inputs, settings and build give the same bits."),
    table(["key", "value"], data.manifest.map(([key, value]) => {
      const object = /^[\[{]/.test(value) ? parse(value) : null;
      return [el("code", null, key), object ? el("details", null, el("summary", null, "settings"), el("pre", null, JSON.stringify(object, null, 2))) : el("span", {class: "mono"}, value)];
    })),
    el("p", {class: "foot"}, "Written by fovea. This page holds its data and needs no network. A cell has an address: ", el("code", null, "#cell=ADDRESS"), " behind the page's own shows it, ", el("code", null, "&sample=NAME"), " or ", el("code", null, "&sweep=NAME"), " chooses where."));
}

/* ---- a cell by its address ---- */

function follow() {
  const wanted = new Map(location.hash.slice(1).split("&").map(part => { const at = part.indexOf("="); return at < 0 ? [part, ""] : [part.slice(0, at), decodeURIComponent(part.slice(at + 1))]; }));
  let hit = null;
  if (wanted.has("sample")) {
    const browser = figures.find(f => f.samples), body = browser && browser.open(wanted.get("sample"));
    if (body && wanted.has("cell")) hit = body.seek(wanted.get("cell"));
    else if (body) document.getElementById("samples").scrollIntoView();
  } else if (wanted.has("cell")) {
    for (const f of figures) if (!hit && f.seek && (!wanted.has("sweep") || wanted.get("sweep") === f.sweep)) hit = f.seek(wanted.get("cell"));
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
addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
addEventListener("hashchange", follow);
follow();
})();
