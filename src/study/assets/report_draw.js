"use strict";
/* What every part of the page is made of: elements, numbers, colours, heat maps, intervals. */

const data = JSON.parse(document.getElementById("data").textContent);
const manifest = new Map(data.manifest);
function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch (e) {
    return null;
  }
}
const page = document.getElementById("page");
const MINUS = "\u2212", DOTS = "\u2026", DASH = "\u2013", TO = "\u2192";

/* ---- elements; texts are always text nodes ---- */

function fill(node, attributes, children) {
  for (const key in attributes) {
    const value = attributes[key];
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on"))
      node.addEventListener(key.slice(2), value);
    else
      node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(9))
    if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}
function el(tag, attributes, ...children) { return fill(document.createElement(tag), attributes || {}, children); }
function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes || {}, children);
}
function select(label, options, value, change) {
  const box =
      el("select", {onchange: () => change(box.value)},
         options.map(([key, text]) => el("option", {value: key, selected: String(key) === String(value)}, text)));
  const whole = el("label", null, label, box);
  whole.box = box;
  return whole;
}
function table(head, rows, options) {
  const right = (options && options.right) || [];
  return el(
      "div", {class: "scroll"},
      el("table", {class: options && options.class},
         options && options.caption ? el("caption", null, options.caption) : null,
         head &&
             el("thead", null,
                el("tr", null,
                   head.map((h, i) => el("th", {class: right.includes(i) ? "right" : null, scope: "col"}, h)))),
         el("tbody", null,
            rows.map(
                row => el(
                    "tr", null, row.map((cell, i) => el("td", {class: right.includes(i) ? "right" : null}, cell)))))));
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
  if (end >= 1e5 || end < 1e-4) return v === 0 ? "0" : v.toExponential(0).replace("+", "").replace(/-/g, MINUS);
  const least = end >= 100 ? 0 : end >= 10 ? 1 : 2, span = s.zero ? end : s.hi - s.lo;
  const text = v.toFixed(s.whole ? 0 : Math.min(5, Math.max(least, 1 - Math.floor(Math.log10(span)))));
  if (v === 0) return "0";
  return (/[1-9]/.test(text) ? text : text.replace("-", "")).replace("-", MINUS);
}
function three(v) {
  if (v === null || v === undefined || !Number.isFinite(v)) return "";
  const a = Math.abs(v);
  return (a === 0       ? "0" :
              a < 0.001 ? v.toExponential(1) :
              a < 100   ? v.toFixed(3) :
                          v.toPrecision(4))
      .replace(/-/g, MINUS);
}
/* Three digits, or as many as are asked for, without trailing zeros: for axes. */
function tick(v, digits) {
  const a = Math.abs(v);
  return (a !== 0 && (a < 0.001 || a >= 1e5) ? v.toExponential(1) : String(+v.toPrecision(digits || 3)))
      .replace("+", "")
      .replace(/-/g, MINUS);
}
function percent(v) { return (100 * v).toFixed(1) + " %"; }
function capital(text) { return text[0].toUpperCase() + text.slice(1); }
function count(n, one, many) { return n.toLocaleString("en-US") + " " + (n === 1 ? one : many || one + "s"); }

const METRICS = {
  effect: {
    title: "effect",
    colors: "RdBu",
    zero: true,
    about: "share of the logit difference that the patch moves: 0 as without it, 1 as in the other run"
  },
  restored: {
    title: "restored probability",
    colors: "RdBu",
    zero: true,
    about: "(prob " + MINUS + " corrupt_prob) / (clean_prob " + MINUS + " corrupt_prob): 0 as corrupted, 1 as clean"
  },
  prob: {title: "probability", colors: "cividis", about: "probability of the answer in this run"},
  p_diff: {title: "probability difference", colors: "RdBu", zero: true, about: "prob " + MINUS + " corrupt_prob"},
  logit_diff: {
    title: "logit difference",
    colors: "RdBu",
    zero: true,
    about: "logit of the correct answer " + MINUS + " logit of the incorrect one, in this run"
  },
  kl: {
    title: "KL divergence",
    colors: "cividis",
    about: "KL(clean \u2016 this run) over the whole vocabulary, in nats"
  },
  rank: {title: "rank", colors: "cividis", about: "how many answers have a larger logit; 0 is the top answer"}
};
/* What is shown, and in which order: what the study names, or everything. A trace's effect is what it restores. */
const ORDER = (() => {
  const options = parse(manifest.get("options")), named = options && options.metrics;
  return named ? named.flatMap(m => m === "effect" ? [m, "restored"] : [m]) :
                 ["effect", "prob", "restored", "p_diff", "logit_diff", "kl", "rank"];
})();

/* ---- colours ---- */

const palettes = {};
for (const name in data.colors) palettes[name] = data.colors[name].match(/.{6}/g);
function makeScale(metric, lists, low) {
  const m = METRICS[metric];
  let lo = Infinity, hi = -Infinity;
  for (const list of lists)
    for (const v of list)
      if (v !== null && Number.isFinite(v)) {
        if (v < lo) lo = v;
        if (v > hi) hi = v;
      }
  if (lo > hi) {
    lo = 0;
    hi = 1;
  }
  if (m.zero) {
    hi = Math.max(Math.abs(lo), Math.abs(hi)) || 1;
    lo = -hi;
  } else {
    if (low !== undefined && low < lo) lo = low;
    if (lo === hi) {
      const half = Math.abs(lo) / 2 || 1;
      lo -= half;
      hi += half;
    }
  }
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
function cut(text, n) {
  const c = Array.from(text);
  return c.length > n ? c.slice(0, n - 1).join("") + DOTS : text;
}

let patterns = 0;
function hatch(id) {
  return svg(
      "pattern", {id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)"},
      svg("rect", {width: 6, height: 6, fill: "#e9e9e9"}),
      svg("line", {x1: 0, y1: 0, x2: 0, y2: 6, stroke: "#9a9a9a", "stroke-width": 2}));
}
function pixels(o, color) {
  const canvas = document.createElement("canvas");
  canvas.width = o.cols.length;
  canvas.height = o.rows.length;
  const context = canvas.getContext("2d");
  for (let r = 0; r < o.rows.length; r++)
    for (let c = 0; c < o.cols.length; c++) {
      const v = o.get(r, c);
      context.fillStyle = v === null ? "#c9c9c9" : color(v);
      context.fillRect(c, r, 1, 1);
    }
  return canvas.toDataURL();
}

/* o: rows, cols (labels), x, y (axis titles), measure (what the colour is), get(r, c), tell(r, c), pick(r, c),
 * scale, width, square, name */
function heatmap(o) {
  const R = o.rows.length, C = o.cols.length, s = o.scale;
  const widest = Math.max(...o.rows.map(l => Math.min(Array.from(l).length, 20)), 1);
  const left = Math.ceil(22 + 6.6 * widest), right = 74, top = 18, bottom = 34;
  const cw = Math.max(2, Math.min(o.square ? Math.floor(400 / R) : 54, Math.floor((o.width - left - right) / C)));
  const ch = o.square ? Math.max(2, Math.min(cw, Math.floor(400 / R))) :
                        Math.max(1.2, Math.min(25, Math.floor(480 / R) || 480 / R));
  const W = C * cw, H = R * ch, total = Math.max(H, 64), width = left + W + right, height = top + total + bottom;
  const id = "hatch" + patterns++;
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    tabindex: 0,
    role: "application",
    "aria-roledescription": "heat map",
    "aria-label": o.name + ". " + R + " by " + C + " cells. The arrow keys move between cells."
  });
  picture.append(svg("defs", null, hatch(id)));
  if (R * C > 4000) {
    picture.append(svg("image", {
      href: pixels(o, s.color),
      x: left,
      y: top,
      width: W,
      height: H,
      preserveAspectRatio: "none",
      class: "pixels"
    }));
  } else {
    const notes = cw >= 30 && ch >= 15 && R * C <= 420;
    for (let r = 0; r < R; r++)
      for (let c = 0; c < C; c++) {
        const v = o.get(r, c), x = left + c * cw, y = top + r * ch;
        picture.append(svg("rect", {
          x,
          y,
          width: cw,
          height: ch,
          fill: v === null ? `url(#${id})` : s.color(v),
          class: cw > 6 && ch > 6 ? "grid" : null
        }));
        if (notes && v !== null)
          picture.append(
              svg("text", {
                x: x + cw / 2,
                y: y + ch / 2 + 3.4,
                "font-size": cw < 36 ? 8.5 : 9.5,
                "text-anchor": "middle",
                class: s.ink(v)
              },
                  brief(v, s)));
      }
  }
  picture.append(svg("rect", {x: left, y: top, width: W, height: H, class: "frame"}));
  const every = (size, room) => Math.max(1, Math.ceil(room / size));
  for (let r = 0; r < R; r += every(ch, 12))
    picture.append(
        svg("text", {x: left - 5, y: top + (r + 0.5) * ch + 3.6, "font-size": 11, "text-anchor": "end"},
            svg("title", null, o.rows[r]), cut(o.rows[r], 20)));
  for (let c = 0; c < C; c += every(cw, 6.5 * Math.max(...o.cols.map(l => l.length)) + 5))
    picture.append(
        svg("text", {x: left + (c + 0.5) * cw, y: top + H + 13, "font-size": 11, "text-anchor": "middle"}, o.cols[c]));
  picture.append(
      svg("text", {x: left + W / 2, y: top + H + 28, "font-size": 11, "text-anchor": "middle", class: "soft"}, o.x));
  picture.append(
      svg("text", {
        x: 10,
        y: top + H / 2,
        "font-size": 11,
        "text-anchor": "middle",
        class: "soft",
        transform: `rotate(-90 10 ${top + H / 2})`
      },
          o.y));
  colorBar(picture, s, left + W + 12, top, Math.min(total, 180));
  picture.append(
      svg("text",
          o.measure.length < 11 ? {x: left + W + 12, y: 10, "font-size": 11, class: "soft"} :
                                  {x: width - 2, y: 10, "font-size": 11, "text-anchor": "end", class: "soft"},
          o.measure));
  const halo = svg("rect", {class: "focus-halo", width: cw, height: ch, visibility: "hidden"});
  const focus = svg("rect", {class: "focus", width: cw, height: ch, visibility: "hidden"});
  picture.append(halo, focus);
  const readout =
      el("output", {class: "readout hint", "aria-live": "polite"}, "Point at a cell, or use the arrow keys.");
  let at = null;
  function go(r, c) {
    at = [r, c];
    for (const box of [halo, focus]) {
      box.setAttribute("x", left + c * cw);
      box.setAttribute("y", top + r * ch);
      box.setAttribute("visibility", "visible");
    }
    readout.textContent = o.tell(r, c);
    readout.classList.remove("hint");
  }
  function cell(event) {
    const box = picture.getBoundingClientRect(), k = width / box.width;
    const c = Math.floor(((event.clientX - box.left) * k - left) / cw),
          r = Math.floor(((event.clientY - box.top) * k - top) / ch);
    return r >= 0 && r < R && c >= 0 && c < C ? [r, c] : null;
  }
  picture.addEventListener("pointermove", event => {
    const hit = cell(event);
    if (!hit) {
      tip.hidden = true;
      return;
    }
    showTip(event.clientX, event.clientY, o.tell(hit[0], hit[1]));
  });
  picture.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });
  picture.addEventListener("click", event => {
    const hit = cell(event);
    if (hit) {
      go(...hit);
      if (o.pick) o.pick(...hit);
    }
  });
  picture.addEventListener("keydown", event => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    let next = at || [0, 0];
    if (step) {
      if (at) next = [at[0] + step[0], at[1] + step[1]];
    } else if (event.key === "Home")
      next = [next[0], 0];
    else if (event.key === "End")
      next = [next[0], C - 1];
    else if (event.key === "PageUp")
      next = [0, next[1]];
    else if (event.key === "PageDown")
      next = [R - 1, next[1]];
    else if (event.key === "Enter" && at && o.pick) {
      o.pick(at[0], at[1]);
      event.preventDefault();
      return;
    } else
      return;
    event.preventDefault();
    go(Math.max(0, Math.min(R - 1, next[0])), Math.max(0, Math.min(C - 1, next[1])));
  });
  const numbers =
      el("details", {
        ontoggle: () => {
          if (numbers.open && numbers.children.length === 1)
            numbers.append(table(
                [o.y + " \\ " + o.x, ...o.cols],
                o.rows.map((label, r) => [label, ...o.cols.map((_, c) => exact(o.get(r, c)))]), {class: "numbers"}));
        }
      },
         el("summary", null, "as numbers"));
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
  ticks.forEach(
      (v, i) => picture.append(
          svg("text", {x: x + 14, y: y + 8 + i * (h - 9) / 2, "font-size": 10, class: "soft"}, tick(v, digits))));
}
/* ---- values with intervals ---- */

function niceStep(span, steps) {
  const ten = Math.pow(10, Math.floor(Math.log10(span / steps)));
  return ten * [1, 2, 2.5, 5, 10].find(k => (steps + 0.5) * k * ten >= span);
}
/* Values with intervals, one line each, on an axis that begins at 0 or below. rows: label, value, low, high, hollow.
 * o: label of the axis, left and width in pixels, line (its height), share (the axis is 0 to 1), mark (a dashed
 * line). */
function dots(rows, o) {
  const mark = Number.isFinite(o.mark) ? o.mark : null, left = o.left, W = o.width, line = o.line,
        H = rows.length * line;
  const known = rows.flatMap(r => [r.value, r.low, r.high]).concat(mark).filter(v => v !== null);
  const steps = W < 150 ? 2 : 4, span = Math.max(...known, 0) - Math.min(...known, 0) || 1;
  const step = o.share ? 1 / steps : niceStep(span, steps);
  const lo = Math.floor(Math.min(0, ...known) / step) * step,
        hi = o.share ? 1 : Math.ceil(Math.max(...known) / step - 1e-9) * step || step;
  const bounded = r => r.low !== null && r.high !== null;
  const texts = rows.map(r => three(r.value) + (bounded(r) ? "  [" + three(r.low) + ", " + three(r.high) + "]" : ""));
  const x = v => left + W * (v - lo) / (hi - lo), width = left + W + 12 + 6 * Math.max(20, ...texts.map(t => t.length));
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${H + 38}`,
    width,
    height: H + 38,
    role: "img",
    "aria-label": o.label + ": " + rows.map(r => r.label + " " + three(r.value)).join("; ")
  });
  for (let v = lo; v <= hi + step / 2; v += step)
    picture.append(
        svg("line", {x1: x(v), x2: x(v), y1: 2, y2: H + 4, class: "axis"}),
        svg("text", {x: x(v), y: H + 17, "font-size": 10.5, "text-anchor": "middle", class: "soft"}, tick(v)));
  picture.append(
      svg("text", {x: left + W / 2, y: H + 32, "font-size": 11, "text-anchor": "middle", class: "soft"}, o.label));
  if (mark !== null)
    picture.append(
        svg("line", {x1: x(mark), x2: x(mark), y1: 2, y2: H + 4, class: "mark"},
            svg("title", null, "threshold " + three(mark))));
  rows.forEach((r, i) => {
    const y = (i + 0.5) * line + 2;
    picture.append(
        svg("text", {x: left - 14, y: y + 4, "font-size": 12, "text-anchor": "end"}, svg("title", null, r.label),
            cut(r.label, Math.floor((left - 14) / 6.2))));
    if (bounded(r)) picture.append(svg("line", {x1: x(r.low), x2: x(r.high), y1: y, y2: y, class: "whisker"}));
    if (r.value !== null)
      picture.append(svg("circle", {cx: x(r.value), cy: y, r: 4, class: r.hollow ? "dot hollow" : "dot"}));
    picture.append(
        svg("text", {x: left + W + 12, y: y + 4, "font-size": 11}, texts[i]));
  });
  return picture;
}
