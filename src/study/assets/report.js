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
    el("tbody", null, rows.map(row => el("tr", {class: row.className},
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
/* Two digits of the scale's end. */
function brief(v, s) {
  if (!Number.isFinite(v)) return v < 0 ? MINUS + "\u221e" : "\u221e";
  const end = Math.max(Math.abs(s.lo), Math.abs(s.hi));
  if (end >= 1e4 || end < 1e-4) return v === 0 ? "0" : v.toExponential(0).replace("+", "").replace(/-/g, MINUS);
  const text = v.toFixed(end >= 100 ? 0 : end >= 10 ? 1 : Math.min(5, Math.max(2, 1 - Math.floor(Math.log10(end)))));
  return /^-?0(\.0*)?$/.test(text) ? "0" : text.replace("-", MINUS);
}
function three(v) {
  if (v === null || v === undefined || !Number.isFinite(v)) return "";
  const a = Math.abs(v);
  return (a === 0 ? "0" : a < 0.001 ? v.toExponential(1) : a < 100 ? v.toFixed(3) : v.toPrecision(4)).replace(/-/g, MINUS);
}
function percent(v) { return (100 * v).toFixed(1) + " %"; }
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
  else { if (low !== undefined && low < lo) lo = low; if (lo === hi) { lo -= lo ? Math.abs(lo) / 2 : 0; hi = lo === hi ? hi + 1 : hi; } }
  const colors = palettes[m.colors];
  const color = v => "#" + colors[Math.max(0, Math.min(255, Math.floor(256 * (v - lo) / (hi - lo))))];
  const ink = v => {
    const c = parseInt(color(v).slice(1), 16), f = x => Math.pow(x / 255, 2.2);
    return 0.2126 * f(c >> 16) + 0.7152 * f(c >> 8 & 255) + 0.0722 * f(c & 255) > 0.3 ? "black" : "white";
  };
  return {lo, hi, zero: m.zero, color, ink};
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

/* o: rows, cols (labels), x, y (axis titles), get(r, c), tell(r, c), scale, bar, width, name, spot */
function heatmap(o) {
  const R = o.rows.length, C = o.cols.length, s = o.scale;
  const widest = Math.max(...o.rows.map(l => Math.min(Array.from(l).length, 20)), 1);
  const left = Math.ceil(22 + 6.6 * widest), right = 74, top = 4, bottom = 34;
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
  const halo = svg("rect", {class: "focus-halo", width: cw, height: ch, visibility: "hidden"});
  const focus = svg("rect", {class: "focus", width: cw, height: ch, visibility: "hidden"});
  picture.append(halo, focus);
  const readout = el("output", {class: "readout hint", "aria-live": "polite"}, o.hint || "Point at a cell, or use the arrow keys.");
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
    if (hit) { go(hit[0], hit[1]); if (o.pick) o.pick(hit[0], hit[1]); }
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
  ticks.forEach((v, i) => picture.append(svg("text", {x: x + 14, y: y + 8 + i * (h - 9) / 2, "font-size": 10, class: "soft"}, three(v).replace(/\.?0+$/, "") || "0")));
}

/* ---- maps of the data ---- */

const EMPTY = [];
function values(map, metric, own) { return (own ? own[metric] : map.mean[metric]) || EMPTY; }
function index(map, r, l, h) { return (r * map.layers.length + l) * map.heads.length + h; }
function place(map) { return (map.stack || "") + (map.site ? "." + map.site : ""); }
function address(map, r, l, h) {
  const layer = map.layers[l], head = map.heads[h];
  return (map.stack || "") + (layer === null ? "" : "." + layer) + (map.site ? "." + map.site : "") + (head === null || h < 0 ? "" : "#" + head) +
    (map.length === null ? (map.rows[r] === 0 ? "@answer" : "@all") : "@" + map.rows[r]);
}
function rowName(map, r) {
  if (map.length === null) return map.rows[r] === 0 ? "the answer's word" : "all rows";
  const piece = map.pieces && map.pieces[r];
  if (piece === null || piece === undefined || piece === "") return "row " + map.rows[r];
  return map.share && map.share[r] < 0.995 ? piece + " " + DOTS : piece;
}
function rowNote(map, r) {
  if (map.length === null) return rowName(map, r);
  const share = map.share && map.share[r], piece = map.pieces && map.pieces[r];
  if (!piece) return "row " + map.rows[r];
  return "row " + map.rows[r] + " \u201c" + piece + "\u201d" + (share < 0.995 ? " in " + percent(share) + " of the runs" : "");
}
function countOf(map, metric, i) { const n = map.n[metric]; return n ? (n.length === 1 ? n[0] : n[i]) : 0; }
function tellCell(map, metric, r, l, h, own) {
  const i = index(map, r, l, h), v = values(map, metric, own)[i];
  let text = address(map, r, l, h) + " (" + rowNote(map, r) + "): " + metric + " " + exact(v);
  if (own) {
    for (const other of ["prob", "logit_diff"]) if (other !== metric && own[other]) text += ", " + other + " " + exact(own[other][i]);
    if (own.draws > 1) text += " (mean of " + own.draws + " draws)";
    return text;
  }
  const n = countOf(map, metric, i), sd = map.sd[metric] ? map.sd[metric][i] : null;
  return n > 1 ? text + ", mean of " + n + " runs" + (sd !== null && sd !== undefined ? ", sd " + exact(sd) : "") : text;
}
const lowerEnd = (map, metric) => metric === "prob" ? map.corrupt_prob : undefined;
const figures = [];
let figureNumber = 0;

/* A figure whose drawing is replaced when something is chosen. */
function figure(caption, draw) {
  const body = el("div"), number = ++figureNumber;
  const node = el("figure", null, el("figcaption", null, el("b", null, "Figure " + number + ". "), caption), body);
  const self = {node, map: null, redraw() { self.map = draw(); body.replaceChildren(...self.map.node); }};
  self.redraw();
  return self;
}

/* Rows by layers, of a map without heads or of one head (or their mean). */
function rowsByLayers(map, metric, own, head, scale, width, pick) {
  const list = values(map, metric, own), H = map.heads.length;
  const get = (r, l) => {
    if (head >= 0) { const v = list[index(map, r, l, head)]; return v === undefined ? null : v; }
    let sum = 0, n = 0;
    for (let h = 0; h < H; h++) { const v = list[index(map, r, l, h)]; if (v !== null && Number.isFinite(v)) { sum += v; n++; } }
    return n ? sum / n : null;
  };
  const tell = (r, l) => head >= 0 ? tellCell(map, metric, r, l, head, own)
    : address(map, r, l, -1) + " (" + rowNote(map, r) + "): " + metric + " " + exact(get(r, l)) + ", mean over " + H + " heads";
  const map2 = heatmap({rows: map.rows.map((_, r) => rowName(map, r)), cols: map.layers.map(l => l === null ? "\u2013" : String(l)), x: "layer", y: "token",
    get, tell, width, scale: scale || makeScale(metric, [head >= 0 && H === 1 ? list : map.rows.flatMap((_, r) => map.layers.map((_, l) => get(r, l)))], lowerEnd(map, metric)),
    name: place(map) + ", " + METRICS[metric].title + ", tokens by layers", pick: pick && ((r, l) => pick(r, l))});
  return map2;
}
function headsGrid(map, metric, own, r, width, pick) {
  const list = values(map, metric, own);
  const get = (l, h) => { const v = list[index(map, r, l, h)]; return v === undefined ? null : v; };
  return heatmap({rows: map.layers.map(String), cols: map.heads.map(String), x: "head", y: "layer", get, width,
    tell: (l, h) => tellCell(map, metric, r, l, h, own), scale: makeScale(metric, [map.layers.flatMap((_, l) => map.heads.map((_, h) => get(l, h)))], lowerEnd(map, metric)),
    name: place(map) + ", " + METRICS[metric].title + ", layers by heads", pick});
}
/* Rows that are patches of the picture, as a square: its side, and the row of the first patch. */
function patches(map) {
  if (map.stack !== "vision" && map.stack !== "projector") return null;
  for (const first of [1, 0]) {
    const side = Math.round(Math.sqrt(map.length - first));
    if (side >= 3 && side * side === map.length - first && map.rows.length === map.length) return {side, first};
  }
  return null;
}
function patchGrid(map, metric, own, l, h, grid) {
  const list = values(map, metric, own), row = (r, c) => grid.first + r * grid.side + c;
  const get = (r, c) => { const v = list[index(map, row(r, c), l, h)]; return v === undefined ? null : v; };
  const labels = Array.from({length: grid.side}, (_, i) => String(i));
  return heatmap({rows: labels, cols: labels, x: "patch", y: "patch", get, tell: (r, c) => "patch [" + r + "," + c + "], " + tellCell(map, metric, row(r, c), l, h, own), width: 470, square: true,
    scale: makeScale(metric, [list], lowerEnd(map, metric)), name: place(map) + ", " + METRICS[metric].title + ", over the picture"});
}
function strongest(map, metric, r, own) {
  const list = values(map, metric, own);
  let best = null;
  map.rows.forEach((_, row) => map.layers.forEach((_, l) => map.heads.forEach((_, h) => {
    const v = list[index(map, row, l, h)];
    if ((r === undefined || r === row) && v !== null && v !== undefined && Number.isFinite(v) && (!best || Math.abs(v) > Math.abs(best.v))) best = {r: row, l, h, v};
  })));
  return best;
}

/* The figures of one site: {nodes, seek(address)}. maps: the length map and, with heads, the pooled one. */
function siteFigures(map, pool, metric, own) {
  const heads = map.heads.length > 1 || map.heads[0] !== null;
  const what = () => [el("code", null, place(map)), map.corrupt ? [", corrupted: ", el("code", null, cut(map.corrupt, 60))] : "", map.window > 1 ? ", window of " + map.window + " layers" : ""];
  const mean = own || map.runs === map.rows.length * map.layers.length * map.heads.length ? "" : "Mean ";
  const metricName = mean ? METRICS[metric].title : METRICS[metric].title[0].toUpperCase() + METRICS[metric].title.slice(1);
  if (!heads) {
    const one = figure([what(), ". ", mean, metricName, " by token and layer."], () => rowsByLayers(map, metric, own, 0, null, 620));
    const nodes = [one.node], grid = patches(map), best = grid && strongest(map, metric, undefined, own);
    if (best) {
      let layer = best.l;
      const box = select("layer", map.layers.map((l, i) => [i, String(l)]), layer, v => { layer = +v; over.redraw(); });
      const over = figure([what(), ". The same over the picture's patches, for one layer."], () => patchGrid(map, metric, own, layer, 0, grid));
      over.node.insertBefore(el("div", {class: "controls"}, box), over.node.children[1]);
      nodes.push(over.node);
    }
    return {nodes, seek: (r, l, h, row) => { one.map.go(row, l); return one; }};
  }
  const options = [];
  if (pool && !own) for (const r of pool.rows.keys()) if (pool.mean[metric]) options.push(["p" + r, rowName(pool, r)]);
  map.rows.forEach((_, r) => options.push(["r" + r, "row " + map.rows[r] + ", " + rowName(map, r)]));
  let row = options[0][0], head = -1;
  const chosen = () => row[0] === "p" ? [pool, +row.slice(1)] : [map, +row.slice(1)];
  const top = () => { const [m, r] = chosen(), best = strongest(m, metric, r); return best ? best.h : 0; };
  if (!own) head = top();
  const rowBox = select("row", options, row, v => { row = v; grid.redraw(); });
  const headBox = select("head", [[-1, "mean over heads"], ...map.heads.map((h, i) => [i, "head " + h])], head, v => { head = +v; tokens.redraw(); });
  const grid = figure([what(), ". ", mean, metricName, " by layer and head. A click shows the head at every token."], () => {
    const [m, r] = chosen();
    return headsGrid(m, metric, m === map ? own : null, r, 470, (l, h) => { head = h; headBox.box.value = h; tokens.redraw(); });
  });
  const tokens = figure([what(), ". The same by token and layer, for one head."], () => rowsByLayers(map, metric, own, head, null, 470));
  grid.node.insertBefore(el("div", {class: "controls"}, rowBox), grid.node.children[1]);
  tokens.node.insertBefore(el("div", {class: "controls"}, headBox), tokens.node.children[1]);
  return {nodes: [grid.node, tokens.node], seek: (at, l, h, r) => {
    if (h >= 0) {
      row = at === "answer" ? "p0" : at === "all" ? "p" + (pool.rows.length - 1) : "r" + r;
      rowBox.box.value = row; grid.redraw(); grid.map.go(l, h); return grid;
    }
    head = -1; headBox.box.value = -1; tokens.redraw(); tokens.map.go(r, l); return tokens;
  }};
}
function seekIn(site, map, text) {
  const m = /^([^.]+)(?:\.(\d+))?(?:\.([^#@]+))?(?:#(\d+))?@(\d+|answer|all)$/.exec(text);
  if (!m || m[1] !== map.stack || (m[3] || null) !== (map.site || null)) return null;
  const l = map.layers.indexOf(m[2] === undefined ? null : +m[2]), r = map.rows.indexOf(+m[5]), h = m[4] === undefined ? -1 : map.heads.indexOf(+m[4]);
  if (l < 0 || (r < 0 && /\d/.test(m[5])) || (m[4] !== undefined && h < 0)) return null;
  return site.seek(m[5], l, h, r);
}

/* ---- sections ---- */

const contents = el("ul", {class: "contents"});
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
function interval(map, metric, i) {
  const n = countOf(map, metric, i), sd = map.sd[metric] ? map.sd[metric][i] : null;
  return n > 1 && sd !== null && sd !== undefined ? 1.96 * sd / Math.sqrt(n) : null;
}

function header() {
  const model = manifest.get("model"), family = manifest.get("family"), sha = manifest.get("model_sha256") || manifest.get("sha256");
  const parts = [];
  if (model) parts.push(["Model ", el("code", null, model.replace(/\/+$/, "").split("/").pop()), family ? " (" + family + ")" : "", sha ? [", weights ", el("code", null, sha.slice(0, 12))] : ""]);
  parts.push(study ? count(counts.done, "sample") + ", " + count(counts.rows, "run") : count(counts.rows, "run"));
  if (manifest.get("version")) parts.push("fovea " + manifest.get("version"));
  if (manifest.get("created")) parts.push(manifest.get("created").slice(0, 10));
  return el("header", null, el("h1", null, data.title), el("p", {class: "byline"}, parts.map((p, i) => [i ? " \u00b7 " : "", p])), contents);
}

function inShort() {
  const items = [];
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
      const half = interval(map, metric, index(map, best.r, best.l, best.h));
      items.push([study ? [el("i", null, sweep.name), ": "] : "", "strongest ", el("code", null, address(map, best.r, best.l, best.h)), map.length !== null ? [" (", rowName(map, best.r), ")"] : "",
        ", " + (study ? "mean " : "") + METRICS[metric].title + " ", el("b", {class: "number"}, three(best.v)), half !== null && study ? " \u00b1 " + three(half) : "", map.samples > 1 ? " over " + count(map.samples, "sample") : "", "."]);
    }
  });
  return el("div", {class: "short"}, el("h2", null, "In short"), el("ul", null, items.map(item => el("li", null, item))));
}

/* ---- circuits ---- */

const headName = h => "L" + h.layer + "H" + h.head;
function names(heads, most) {
  const list = heads.slice(0, most).map(headName).join(", ");
  return heads.length > most ? list + ", " + DOTS : list;
}
function circuitOf(list, group) { return list.find(c => (c.group === null ? "" : c.group) === group); }
function circuits() {
  if (!data.circuits || !data.circuits.length) return null;
  const sites = new Map();
  for (const c of data.circuits) { const key = c.sweep + " " + c.stack + "." + c.site; sites.set(key, [...(sites.get(key) || []), c]); }
  return section("circuits", "Circuits",
    el("p", null, "A head's importance is the mean over the samples of how far patching it moves the logit difference, at the row where it moves it most, whatever the direction. Lines are bootstrap 95 % intervals. A head is in the circuit (filled dots) when its importance is at least " + (data.threshold === 0 ? "the mean of all heads" : data.threshold + " standard deviation" + (data.threshold === 1 ? "" : "s") + " above the mean of all heads") + " (dashed line) and its effect has one sign, permutation test, false discovery rate 0.05."),
    [...sites.values()].map(list => {
      const first = list[0], few = list.length <= 4;
      const draw = (c, width) => {
        const sorted = c.heads.slice().sort((a, b) => b.importance - a.importance), shown = sorted.slice(0, 24);
        return [el("p", {class: "small soft"}, list.length > 1 ? [el("b", null, c.group === null ? "all" : c.group), ": "] : "", count(c.samples, "sample") + ". " + (c.size ? "In the circuit: " + names(c.heads.filter(h => h.inside), 24) + "." : "No head is in the circuit.") +
          (c.dropped ? " " + count(c.dropped, "sample") + " without the row " + (c.dropped === 1 ? "is" : "are") + " left out." : "") + (sorted.length > shown.length ? " The " + shown.length + " most important of " + sorted.length + " heads." : "")),
          dots(shown.map(h => ({label: headName(h), value: h.importance, low: h.low, high: h.high, hollow: !h.inside})), {left: 58, line: 19, width, mark: c.threshold}),
          el("details", null, el("summary", null, "as numbers"), table(["head", "importance", "low", "high", "signed mean", "q", "samples", "in the circuit"],
            sorted.map(h => [headName(h), exact(h.importance), exact(h.low), exact(h.high), exact(h.mean), exact(h.q), String(h.n), h.inside ? "yes" : ""]), {class: "numbers", right: [1, 2, 3, 4, 5, 6]}))];
      };
      const caption = el("figcaption", null, el("b", null, "Figure " + ++figureNumber + ". "), "Importance of the heads at ", el("code", null, first.stack + "." + first.site), ", sweep ", el("i", null, first.sweep_name), ".");
      if (few) return el("figure", null, caption, el("div", {class: list.length === 3 ? "plots three" : "plots"}, list.map(c => el("div", null, draw(c, [0, 330, 230, 100, 200][list.length])))));
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
/* Values with intervals, one line each. options: left and line in pixels, width of the plot, mark: a dashed line. */
function dots(rows, options) {
  const mark = options && Number.isFinite(options.mark) ? options.mark : null;
  const known = rows.flatMap(r => [r.value, r.low, r.high]).concat(mark).filter(v => v !== null);
  const unit = !options && known.every(v => v >= 0 && v <= 1), step = unit ? 0.25 : niceStep(Math.max(...known, 0) - Math.min(...known, 0) || 1, options && options.width < 150 ? 2 : 4);
  const lo = Math.floor(Math.min(0, ...known) / step) * step, hi = unit ? 1 : Math.ceil(Math.max(...known) / step - 1e-9) * step || step;
  const left = options ? options.left : 300, W = options ? options.width : 330, right = options ? 132 : 150, line = options ? options.line : 26, H = rows.length * line, x = v => left + W * (v - lo) / (hi - lo);
  const picture = svg("svg", {viewBox: `0 0 ${left + W + right} ${H + 30}`, width: left + W + right, height: H + 30, role: "img",
    "aria-label": rows.map(r => r.label + " " + three(r.value)).join("; ")});
  for (let v = lo; v <= hi + step / 2; v += step)
    picture.append(svg("line", {x1: x(v), x2: x(v), y1: 2, y2: H + 4, class: "axis"}), svg("text", {x: x(v), y: H + 18, "font-size": 10.5, "text-anchor": "middle", class: "soft"}, String(+v.toPrecision(3)).replace("-", MINUS)));
  if (mark !== null) picture.append(svg("line", {x1: x(mark), x2: x(mark), y1: 2, y2: H + 4, class: "mark"}, svg("title", null, "threshold " + three(mark))));
  rows.forEach((r, i) => {
    const y = (i + 0.5) * line + 2;
    picture.append(svg("text", {x: left - 14, y: y + 4, "font-size": 12, "text-anchor": "end"}, svg("title", null, r.label), cut(r.label, 46)));
    if (r.low !== null && r.high !== null) picture.append(svg("line", {x1: x(r.low), x2: x(r.high), y1: y, y2: y, class: "whisker"}));
    if (r.value !== null) picture.append(svg("circle", {cx: x(r.value), cy: y, r: options ? 4 : 5, class: r.hollow ? "dot hollow" : "dot"}));
    picture.append(svg("text", {x: left + W + 12, y: y + 4, "font-size": options ? 11 : 11.5}, three(r.value) + (r.low !== null && r.high !== null ? "  [" + three(r.low) + ", " + three(r.high) + "]" : "")));
  });
  return picture;
}
function describeSpec(text) {
  const spec = parse(text);
  if (!spec || typeof spec !== "object") return cut(text, 300);
  return cut(Object.entries(spec).map(([k, v]) => k + " " + (k === "heads" && Array.isArray(v) ? v.map(h => "L" + h[0] + "H" + h[1]).join(" ") : plain(v))).join(", "), 300);
}
function checks() {
  if (!data.checks.length) return null;
  const groups = new Map();
  for (const c of data.checks) { const key = [c.name, c.sweep, c.spec].join("\u0000"); groups.set(key, [...(groups.get(key) || []), c]); }
  return section("checks", "Checked by a second method",
    el("p", null, "Numbers that do not come from the maps: what happens to the answers when the parts that were found are taken out, beside what happens when as many others are."),
    [...groups.values()].map(list => el("figure", null,
      el("figcaption", null, el("b", null, "Figure " + ++figureNumber + ". "), list[0].name || "check", list[0].sweep ? [", from the sweep ", el("i", null, list[0].sweep)] : "", ". Dots are values, lines their intervals.", list[0].spec ? [" ", el("span", {class: "mono"}, describeSpec(list[0].spec))] : ""),
      dots(list.map(c => ({label: c.what || "", value: c.value, low: c.low, high: c.high, hollow: /random/i.test(c.what || "")}))),
      table(["what", "value", "low", "high", "n"], list.map(c => [c.what, exact(c.value), c.low === null ? "" : exact(c.low), c.high === null ? "" : exact(c.high), c.n === null ? "" : String(c.n)]), {right: [1, 2, 3, 4]}))));
}

/* ---- what was asked ---- */

function asked() {
  const keys = ["site", "restore", "heads", "rows", "layers", "window", "corrupt", "direction", "draws", "answers"];
  const defaults = {window: 1, draws: 10, direction: "denoise", answers: "own", heads: "all"};
  const used = keys.filter(k => specs.some(s => s && s[k] !== undefined && s[k] !== null && s[k] !== defaults[k]));
  const first = data.samples.find(s => s.status === "done");
  const example = study && first && first.question ? el("p", null, "For example, ", el("i", null, first.name || "the sample"), ": \u201c", first.question, "\u201d", first.correct ? [", correct answer ", el("b", null, first.correct)] : "", first.incorrect ? [", incorrect ", el("b", null, first.incorrect)] : "", ".") : null;
  return section("asked", "What was asked",
    el("p", null, "Each run is one input computed with one activation, at one layer, token and (where named) head, exchanged. ",
      data.sweeps.some(s => s.kind === "patch") ? "Patching writes a state of the clean run into the corrupted one (denoise) or the other way (noise), and measures how far the answer moves. " : "",
      data.sweeps.some(s => s.kind === "trace") ? "Tracing corrupts the input, puts single states of the clean run back, and measures the probability of the answer." : ""), example,
    study ? table(["sweep", "kind", ...used, "runs"], data.sweeps.map((s, i) => [s.name, s.kind, ...used.map(k => specs[i] && specs[i][k] !== undefined && specs[i][k] !== null ? plain(specs[i][k]) : ""),
      data.maps.filter(m => m.sweep === i && m.group === null && m.length !== null).reduce((n, m) => n + m.runs, 0).toLocaleString("en-US")]), {right: [used.length + 2]}) : null,
    el("dl", {class: "terms"}, ORDER.filter(m => data.maps.some(map => map.mean[m])).map(m => [el("dt", null, m), el("dd", null, METRICS[m].about)])));
}

/* ---- maps ---- */

function sweepFigures(i) {
  const everything = mapsOf(i, -1), lengths = lengthsOf(everything);
  if (!lengths.length) return el("p", {class: "soft"}, "No results yet.");
  const metricNames = ORDER.filter(m => everything.some(map => map.mean[m]));
  const byCount = lengths.slice().sort((a, b) => b.samples - a.samples);
  const state = {metric: metricNames[0], group: -1, length: new Map()};
  for (const l of byCount) if (!state.length.has(l.stack)) state.length.set(l.stack, l.length);
  const body = el("div"), entries = [];
  function draw() {
    const maps = mapsOf(i, state.group), nodes = [];
    let row = null;
    entries.length = 0;
    for (const map of maps.filter(m => m.length !== null && m.length === state.length.get(m.stack) && m.mean[state.metric])) {
      const same = m => place(m) === place(map) && m.corrupt === map.corrupt && m.op === map.op && m.window === map.window;
      const site = siteFigures(map, maps.find(m => m.length === null && same(m)), state.metric, null);
      entries.push({map, site});
      if (!row || site.nodes.length > 1) nodes.push(row = el("div", {class: "figures"}));
      row.append(...site.nodes);
      if (site.nodes.length > 1) row = null;
      site.nodes[0].append(el("p", {class: "small soft"}, (map.samples > 1 ? count(map.samples, "sample") + " with " + count(map.length, "row") + "; probability" : "Probability") + " of the answer " + three(map.clean_prob) + " clean, " + three(map.corrupt_prob) + " corrupted" + (map.samples > 1 ? " (means)" : "") + "."));
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
      return list.length > 1 ? select(stacks.length > 1 ? stack + " of" : "of", list.map(l => [l.length, l.length + " rows (" + count(l.samples, "sample") + ")"]), state.length.get(stack), v => { state.length.set(stack, +v); redraw(); }) : null;
    }));
  const first = figureNumber;
  draw();
  figures.push({sweep: data.sweeps[i].name, seek(text) {
    for (const e of entries) { const hit = seekIn(e.site, e.map, text); if (hit) return hit; }
    return null;
  }});
  return [controls, body];
}
function maps() {
  return section("maps", study ? "Maps" : "Map", study ? el("p", {class: "hint small soft"}, "Means over the samples whose text has the same number of tokens. Hatched cells were not computed or have no value.") : null,
    data.sweeps.map((s, i) => [study ? el("h3", null, s.name) : null, sweepFigures(i)]));
}

/* ---- samples ---- */

function picture(s, key) { const i = s[key]; return i === undefined ? null : data.pictures[i]; }
function samples() {
  if (!study && data.samples.length < 2) return single(data.samples[0]);
  const shown = data.samples.filter(s => s.status === "done");
  const detail = el("div", {class: "sample", hidden: true}), cards = el("div", {class: "cards"}), total = el("span");
  const state = {text: "", group: ""};
  let visible = [], current = null;
  const groups = [...new Set(shown.map(s => s.group).filter(g => g))];
  function card(s) {
    const a = picture(s, "picture"), b = picture(s, "corrupt_picture");
    return el("button", {class: "card", type: "button", "aria-pressed": String(current === s), onclick: () => open(s, true)},
      a || b ? el("span", {class: "thumbs"}, a ? el("img", {src: a, alt: "clean picture"}) : null, b ? el("img", {src: b, alt: "corrupted picture"}) : null) : null,
      el("span", {class: "name"}, s.name), el("span", {class: "what"}, s.question || ""), s.correct ? el("span", {class: "what"}, s.correct, s.incorrect ? " / " + s.incorrect : "") : null);
  }
  function list() {
    const needle = state.text.toLowerCase();
    visible = shown.filter(s => (!state.group || s.group === state.group) && (!needle || [s.name, s.question, s.correct, s.incorrect, s.answer, s.label].some(t => t && t.toLowerCase().includes(needle))));
    total.textContent = visible.length === shown.length ? count(shown.length, "sample") : visible.length + " of " + count(shown.length, "sample");
    cards.replaceChildren(...visible.slice(0, 1000).map(card));
  }
  function open(s, scroll) {
    current = s;
    [...cards.children].forEach((node, i) => node.setAttribute("aria-pressed", String(visible[i] === s)));
    const at = visible.indexOf(s), step = d => () => { if (visible[at + d]) open(visible[at + d]); };
    detail.hidden = false;
    const n = figureNumber;
    const body = sampleBody(s);
    figureNumber = n;
    detail.replaceChildren(el("div", {class: "steps"}, el("button", {type: "button", onclick: step(-1), "aria-label": "previous sample"}, "\u2190"), el("button", {type: "button", onclick: step(1), "aria-label": "next sample"}, TO)), el("h3", null, s.name), ...body.nodes);
    if (scroll) detail.scrollIntoView({block: "nearest"});
    return body;
  }
  list();
  const notes = [];
  if (counts.samples > data.samples.length) notes.push("Only the first " + data.samples.length.toLocaleString("en-US") + " of " + count(counts.samples, "sample") + " are listed.");
  if (counts.with_pictures < counts.samples) notes.push("The first " + counts.with_pictures + " bring their pictures.");
  if (counts.with_maps < counts.done) notes.push("The first " + counts.with_maps + " bring their own maps; all " + counts.done.toLocaleString("en-US") + " are in the means. `fovea export` writes the rest.");
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
  const shots = [["picture", "clean", s.image], ["corrupt_picture", "corrupted", s.corrupt_image]].filter(p => picture(s, p[0]) || p[2]);
  const entries = [];
  const maps = (s.values || []).map(own => {
    const map = data.maps[own.map], metric = ORDER.find(m => own[m]);
    if (!metric) return null;
    const site = siteFigures(map, null, metric, own);
    entries.push({map, site});
    return [study ? el("p", {class: "small soft"}, "Sweep ", el("i", null, data.sweeps[map.sweep].name)) : null, el("div", {class: "figures"}, site.nodes)];
  });
  return {nodes: [shots.length ? el("div", {class: "pictures"}, shots.map(([key, label, file]) => el("figure", null, picture(s, key) ? el("img", {src: picture(s, key), alt: label + " picture"}) : null, el("figcaption", null, label, file ? [" ", el("code", null, cut(file, 60))] : "")))) : null,
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
    [reason, String(list.length), list.length > 12 ? el("details", null, el("summary", null, list[0].name + ", " + DOTS), list.map(s => s.name).join(", ")) : list.map(s => s.name).join(", ")]), {right: [1]}));
}
function provenance() {
  return section("manifest", "Manifest", el("p", {class: "small soft"}, "Everything that the numbers depend on. The same weights, inputs, settings and build give the same bits."),
    table(["key", "value"], data.manifest.map(([key, value]) => {
      const object = /^[\[{]/.test(value) ? parse(value) : null;
      return [el("code", null, key), object ? el("details", null, el("summary", null, "settings"), el("pre", null, JSON.stringify(object, null, 2))) : el("span", {class: /sha|path|model|cpu|engine|build/.test(key) ? "mono" : null}, value)];
    })),
    el("p", {class: "foot"}, "Written by fovea. This page holds its data and needs no network. A cell has an address: append #cell=", el("code", null, "ADDRESS"), ", with &sample=", el("code", null, "NAME"), " or &sweep=", el("code", null, "NAME"), ", to the page's to show it."));
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
addEventListener("hashchange", follow);
follow();
})();
