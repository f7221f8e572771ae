"use strict";
/* The figures of a site: averages over samples, or the values of one sample. */

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
function sameSite(a, b) {
  return place(a) === place(b) && a.corrupt === b.corrupt && a.op === b.op && a.window === b.window;
}
/* Rows of a picture have places, not tokens. */
function ofPicture(map) { return map.stack === "vision" || map.stack === "projector"; }

const SEVERAL_PICTURES = data.samples.some(s => s.pictures.length > 1);
/* The pictures among the rows of a map, each a square of patches: its side, and the index of its first row. In a text
 * they are runs of the piece that stands for a picture. */
function picturesAmong(map) {
  if (map.pictures) return map.pictures;
  map.pictures = [];
  const square = (first, n) => {
    const side = Math.round(Math.sqrt(n));
    if (side >= 3 && side * side === n) map.pictures.push({first, side});
  };
  if (ofPicture(map)) {
    if (SEVERAL_PICTURES || map.rows.length !== map.length) return map.pictures;
    square(1, map.length - 1);
    if (!map.pictures.length) square(0, map.length);
  } else if (map.pieces) {
    for (let r = 0, first = 0; r <= map.rows.length; r++) {
      if (r > first && (map.pieces[r] !== map.pieces[first] || map.rows[r] !== map.rows[r - 1] + 1)) {
        if (map.pieces[first] === "<image>") square(first, r - first);
        first = r;
      }
    }
  }
  return map.pictures;
}
function patches(map) { return picturesAmong(map).length === 1 ? picturesAmong(map)[0] : null; }
/* The name that addresses have for a row of a picture. */
function patchName(map, r) {
  const all = picturesAmong(map), k = all.findIndex(p => r >= p.first && r < p.first + p.side * p.side);
  if (k < 0) return ofPicture(map) && all.length && r < all[0].first ? "cls" : null;
  const at = r - all[k].first;
  return "image" + (k ? k + 1 : "") + "[" + Math.floor(at / all[k].side) + "," + at % all[k].side + "]";
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
  const {piece, share} = tokenOf(map, r, own), name = patchName(map, r);
  if (name || !piece) return name || "row " + map.rows[r];
  return share < 0.995 ? piece + " " + DOTS : piece;
}
function rowNote(map, r, own) {
  if (map.length === null) return rowName(map, r);
  const {piece, share} = tokenOf(map, r, own), name = patchName(map, r);
  if (name || !piece) return "row " + map.rows[r] + (name ? ", " + name : "");
  return "row " + map.rows[r] + " \u201c" + piece + "\u201d" +
      (share < 0.995 ? " in " + percent(share) + " of the runs" : "");
}
function tellCell(map, metric, r, l, h, own) {
  const text = address(map, r, l, h) + " (" + rowNote(map, r, own) + "): " + metric + " " +
      exact(valueAt(map, metric, own, r, l, h));
  if (own) {
    const others = ["prob", "logit_diff"].filter(other => other !== metric && own[other]);
    return text + others.map(other => ", " + other + " " + exact(valueAt(map, other, own, r, l, h))).join("") +
        (own.draws > 1 ? " (mean of " + own.draws + " draws)" : "");
  }
  const runs = numberAt(map, map.n[metric], r, l, h), samples = numberAt(map, map.of[metric], r, l, h);
  const sd = map.sd[metric] ? valueAt({...map, mean: map.sd}, metric, null, r, l, h) : null;
  return text +
      (runs > 1 ? ", mean of " + runs + " runs" + (runs === samples ? "" : " of " + count(samples, "sample")) : "") +
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
    if ((r === undefined || r === row) && v !== null && Number.isFinite(v) && (!best || Math.abs(v) > Math.abs(best.v)))
      best = {r: row, l, h, v};
  })));
  return best;
}

const figures = [];
let figureNumber = 0;

/* A figure whose caption and drawing are replaced when something is chosen. */
function figure(caption, draw, controls) {
  const text = el("figcaption"), body = el("div"), number = ++figureNumber;
  const node = el("figure", null, text, controls ? el("div", {class: "controls"}, controls) : null, body);
  const self = {
    node,
    number,
    map: null,
    redraw() {
      self.map = draw();
      text.replaceChildren();
      fill(text, null, [el("b", null, "Figure " + number + ". "), caption()]);
      body.replaceChildren(...self.map.node);
    }
  };
  self.redraw();
  return self;
}
function layerAxis(map) { return map.window > 1 ? "layer (centre of " + map.window + ")" : "layer"; }

/* Rows by layers: one head, or with head < 0 the mean over heads. */
function rowsByLayers(map, metric, own, head, scale, width) {
  const H = map.heads.length;
  const get = (r, l) => {
    if (head >= 0) return valueAt(map, metric, own, r, l, head);
    const list =
        map.heads.map((_, h) => valueAt(map, metric, own, r, l, h)).filter(v => v !== null && Number.isFinite(v));
    return list.length ? list.reduce((a, b) => a + b) / list.length : null;
  };
  const tell = (r, l) => head >= 0 ? tellCell(map, metric, r, l, head, own) :
                                     address(map, r, l, -1) + " (" + rowNote(map, r, own) + "): " + metric + " " +
          exact(get(r, l)) + ", mean over " + H + " heads";
  const what = ofPicture(map) ? "row" : "token";
  return heatmap({
    rows: map.rows.map((_, r) => rowName(map, r, own)),
    cols: map.layers.map(l => l === null ? DASH : String(l)),
    x: layerAxis(map),
    y: what,
    measure: METRICS[metric].title,
    get,
    tell,
    width,
    scale,
    name: place(map) + ", " + METRICS[metric].title + ", " + what + "s by layers"
  });
}
function headsGrid(map, metric, own, r, scale, pick) {
  const get = (l, h) => valueAt(map, metric, own, r, l, h);
  return heatmap({
    rows: map.layers.map(String),
    cols: map.heads.map(String),
    x: "head",
    y: layerAxis(map),
    measure: METRICS[metric].title,
    get,
    tell: (l, h) => tellCell(map, metric, r, l, h, own),
    width: 470,
    scale,
    pick,
    name: place(map) + ", " + METRICS[metric].title + ", layers by heads"
  });
}
function patchGrid(map, metric, own, l, h, scale, grid) {
  const row = (r, c) => grid.first + r * grid.side + c, labels = Array.from({length: grid.side}, (_, i) => String(i));
  return heatmap({
    rows: labels,
    cols: labels,
    x: "patch column",
    y: "patch row",
    measure: METRICS[metric].title,
    square: true,
    width: 470,
    scale,
    get: (r, c) => valueAt(map, metric, own, row(r, c), l, h),
    tell: (r, c) => tellCell(map, metric, row(r, c), l, h, own),
    name: place(map) + ", " + METRICS[metric].title + ", over the picture"
  });
}

/* What a caption says: where, of what, how many are behind it. r: the row of a pooled map. */
function whereCaption(map) {
  return [
    el("code", null, place(map)), map.corrupt ? [", corrupted: ", el("code", null, cut(map.corrupt, 60))] : "",
    map.window > 1 ? ", window of " + map.window + " layers" : "",
    map.group === null ? "" : [", group ", el("b", null, data.groups[map.group])], ". "
  ];
}
function behindCaption(map, own, r) {
  const cells = map.rows.length * map.layers.length * map.heads.length,
        draws = own ? own.draws : map.runs / cells / map.samples;
  const several = draws > 1 && Number.isInteger(draws), samples = count(map.samples, "sample"), parts = [];
  if (map.length === null && map.rows[r] !== 0)
    parts.push("mean over all rows" + (map.samples > 1 ? " of " + samples : ""));
  else if (own || map.samples < 2) {
    if (several && map.length !== null) parts.push("mean of " + draws + " draws");
  } else if (map.length === null)
    parts.push("mean over " + samples + ", each at its own row");
  else
    parts.push(
        "mean over " + samples + " with " + count(map.length, "row") + (several ? ", " + draws + " draws each" : ""));
  if (!own)
    parts.push(
        "probability of the answer " + three(map.clean_prob) + " clean, " + three(map.corrupt_prob) + " corrupted");
  return parts.length ? " " + capital(parts.join("; ")) + "." : "";
}

/* The figures of one site: {nodes, seek(at, l, h, r)}. pool: the map of pooled rows, where there are heads. */
function siteFigures(map, pool, metric, own, scale) {
  if (!hasHeads(map)) return plainFigures(map, metric, own, scale);
  const options = [];
  if (pool && pool.mean[metric])
    for (const r of pool.rows.keys()) options.push(["p" + r, rowName(pool, r)]);
  map.rows.forEach((_, r) => options.push(["r" + r, "row " + map.rows[r] + ", " + rowName(map, r, own)]));
  let row = options[0][0];
  const chosen = () => row[0] === "p" ? [pool, +row.slice(1)] : [map, +row.slice(1)];
  let head = own ? strongest(map, metric, undefined, own) : strongest(chosen()[0], metric, chosen()[1]);
  head = head ? head.h : 0;
  const headName = () => head < 0 ? "mean over heads" : "head " + map.heads[head];
  const rowBox = select("row", options, row, v => {
    row = v;
    grid.redraw();
  });
  const headBox = select("head", [[-1, "mean over heads"], ...map.heads.map((h, i) => [i, "head " + h])], head, v => {
    head = +v;
    tokens.redraw();
  });
  const grid = figure(
      () =>
          [whereCaption(map), capital(METRICS[metric].title), " by layer and head, ",
           options.find(o => o[0] === row)[1], ".", behindCaption(chosen()[0], own, chosen()[1]),
           el("span", {class: "hint"}, " A click shows the head at every " + (ofPicture(map) ? "row." : "token."))],
      () => {
        const [m, r] = chosen();
        return headsGrid(m, metric, m === map ? own : null, r, scale, (l, h) => {
          head = h;
          headBox.box.value = h;
          tokens.redraw();
        });
      },
      rowBox);
  const tokens = figure(
      () =>
          [whereCaption(map), capital(METRICS[metric].title),
           " by " + (ofPicture(map) ? "row" : "token") + " and layer, ", headName(), ".", behindCaption(map, own),
           " Colours as in Figure " + grid.number + "."],
      () => rowsByLayers(map, metric, own, head, scale, 470), headBox);
  return {
    nodes: [grid.node, tokens.node],
    seek: (at, l, h, r) => {
      if (h >= 0) {
        row = at === "answer" ? "p0" : at === "all" ? "p" + (pool.rows.length - 1) : "r" + r;
        rowBox.box.value = row;
        grid.redraw();
        grid.map.go(l, h);
        return grid;
      }
      head = -1;
      headBox.box.value = -1;
      tokens.redraw();
      tokens.map.go(r, l);
      return tokens;
    }
  };
}
/* Without single heads: rows by layers, and for a picture one layer over its patches. */
function plainFigures(map, metric, own, scale) {
  const grid = patches(map), best = grid && strongest(map, metric, undefined, own);
  const one = figure(
      () =>
          [whereCaption(map), capital(METRICS[metric].title),
           " by " + (ofPicture(map) ? "row" : "token") + " and layer.", behindCaption(map, own)],
      () => rowsByLayers(map, metric, own, 0, scale, best ? 470 : 620));
  const nodes = [one.node];
  if (best) {
    let layer = best.l;
    const box = select("layer", map.layers.map((l, i) => [i, String(l)]), layer, v => {
      layer = +v;
      over.redraw();
    });
    const over = figure(
        () =>
            [whereCaption(map), capital(METRICS[metric].title),
             " over the picture's patches, layer " + map.layers[layer] + ". Colours as in Figure " + one.number + "."],
        () => patchGrid(map, metric, own, layer, 0, scale, grid), box);
    nodes.push(over.node);
  }
  return {
    nodes,
    seek: (at, l, h, r) => {
      one.map.go(r, l);
      return one;
    }
  };
}
function seekIn(site, map, text) {
  const m = /^([^.]+)(?:\.(\d+))?(?:\.([^#@]+))?(?:#(\d+))?@(\d+|answer|all)$/.exec(text);
  if (!m || m[1] !== map.stack || (m[3] || null) !== (map.site || null)) return null;
  const l = map.layers.indexOf(m[2] === undefined ? null : +m[2]), r = map.rows.indexOf(+m[5]),
        h = m[4] === undefined ? -1 : map.heads.indexOf(+m[4]);
  if (l < 0 || (r < 0 && /\d/.test(m[5])) || (m[4] !== undefined && h < 0)) return null;
  return site.seek(m[5], l, h, r);
}
