// A line chart on a canvas: live, with a cursor for mouse, touch and keyboard, and words for screen readers.
import { el, fill, put } from "./dom.js";
import { significant, tick } from "./format.js";
import { Column, indexAt, nearest, smooth, smoothSteps, ticks } from "./series.js";

const defaults = {
  title: "",
  x: "step",
  y: "",
  divide: 1,
  logX: false,
  logY: false,
  smooth: 0,
  levels: [],
  legend: true,
  height: 320,
  empty: "no points yet",
};
const top = 8,
  bottom = 40,
  right = 12; // CSS pixels around the plot; the left margin is as wide as the labels
const mostRead = 12; // series in the read-out
let numbered = 0;

const values = (c) => (c instanceof Column ? c.view() : c);
const clamp = (v, lo, hi) => Math.max(lo, Math.min(hi, v));

// Span is the range of an axis.
class Span {
  constructor(min, max, log) {
    Object.assign(this, { min, max, log });
  }

  // at returns where v lies: 0 at the start, 1 at the end, NaN where a logarithm has no place for it.
  at(v) {
    if (!this.log) return (v - this.min) / (this.max - this.min);
    return v > 0 ? Math.log(v / this.min) / Math.log(this.max / this.min) : NaN;
  }

  // value is at's inverse.
  value(part) {
    return this.log ? this.min * (this.max / this.min) ** part : this.min + part * (this.max - this.min);
  }

  // widened gives a range of one value a width, and any a margin, which is a part of it.
  widened(margin) {
    const { min, max, log } = this;
    if (log && min === max) return new Span(min / 2, max * 2, log);
    if (log) return new Span(min / (max / min) ** margin, max * (max / min) ** margin, log);
    const d = min === max ? Math.max(Math.abs(min) / 10, 1e-9) : margin * (max - min);
    return new Span(min - d, max + d, log);
  }
}

// usual returns the least and the greatest of values, but for a fiftieth at either end.
function usual(values) {
  const stride = Math.max(1, Math.floor(values.length / 500));
  const some = [];
  for (let i = values.length - 1; i >= 0; i -= stride) {
    if (Number.isFinite(values[i])) some.push(values[i]);
  }
  some.sort((a, b) => a - b);
  const left = Math.floor(some.length / 50);
  return some.length ? [some[left], some[some.length - 1 - left]] : [];
}

export class Chart {
  constructor(host, options = {}) {
    this.options = { ...defaults, ...options };
    this.series = [];
    this.hidden = new Set(); // ids
    this.zoom = null; // [from, to] of x
    this.cursor = null; // a value of x
    this.build(host);
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.plot);
    this.recolour = () => {
      this.colours = null;
      this.redraw();
    };
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", this.recolour);
    document.addEventListener("themechange", this.recolour);
    this.redraw();
  }

  build(host) {
    const id = `chart-${++numbered}`;
    this.title = el("span.chart-title");
    this.unit = el("span.chart-unit");
    this.legend = el("div.chart-legend", { role: "group", "aria-label": "Curves shown" });
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.over = el("canvas", { "aria-hidden": "true" }); // what moves with the pointer
    this.read = el("div.chart-read", { hidden: true, "aria-hidden": "true" });
    this.none = el("div.chart-empty", { hidden: true });
    this.summary = el(`p.sr#${id}`);
    this.spoken = el("p.sr", { "aria-live": "polite" });
    this.plot = el(
      "div.chart-plot",
      { tabindex: "0", role: "application", "aria-roledescription": "chart", "aria-describedby": id },
      this.canvas,
      this.over,
      this.none,
      this.read,
    );
    this.root = el(
      "figure.chart",
      el("figcaption.chart-head", this.title, this.unit, this.legend),
      this.plot,
      this.summary,
      this.spoken,
    );
    this.probe = el("span", { hidden: true });
    this.root.append(this.probe);
    host.append(this.root);
    this.words();

    const at = (event) => this.valueAt(event.clientX - this.plot.getBoundingClientRect().left);
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && event.button === 0) this.dragged = [at(event), at(event)];
      else this.point(at(event));
    });
    this.plot.addEventListener("pointermove", (event) => {
      if (this.dragged) this.dragged[1] = at(event);
      this.point(at(event));
    });
    this.release = () => {
      if (!this.dragged) return;
      const [a, b] = this.dragged.map((v) => this.spanX?.at(v) ?? 0);
      if (Math.abs(a - b) > 0.01) this.zoom = [...this.dragged].sort((p, q) => p - q);
      this.dragged = null;
      this.redraw();
    };
    window.addEventListener("pointerup", this.release);
    this.plot.addEventListener("pointerleave", (event) => {
      // a finger's last place stays until the focus goes
      if (event.pointerType === "mouse" && !this.dragged && document.activeElement !== this.plot) this.point(null);
    });
    this.plot.addEventListener("blur", () => this.point(null));
    this.plot.addEventListener("dblclick", () => this.showAll());
    this.plot.addEventListener("keydown", (event) => this.key(event));
  }

  // words writes what the options say in words.
  words() {
    const { title, x, y, height, empty } = this.options;
    put(this.title, title);
    put(this.unit, y);
    put(this.none, empty);
    this.plot.style.height = `${height}px`;
    this.plot.setAttribute(
      "aria-label",
      `${title || y} by ${x}. Arrow keys read values, plus and minus zoom, Escape shows all.`,
    );
  }

  // set replaces the series.
  set(series) {
    const before = new Map(this.series.map((s) => [s.id, s]));
    this.series = series.map((s) => {
      const old = before.get(s.id);
      return { of: 0, ...s, smoothed: old?.smoothed, key: null };
    });
    for (const s of series) {
      if (s.hidden && !before.has(s.id)) this.hidden.add(s.id);
    }
    this.drawLegend();
    this.redraw();
  }

  // append adds points to a series.
  append(id, x, y) {
    const s = this.series.find((one) => one.id === id);
    if (!s) return;
    for (const name of ["x", "y"]) {
      if (!(s[name] instanceof Column)) s[name] = new Column(s[name] ?? []);
    }
    s.x.append(typeof x === "number" ? [x] : x);
    s.y.append(typeof y === "number" ? [y] : y);
    this.redraw();
  }

  update(options) {
    Object.assign(this.options, options);
    this.words();
    this.drawLegend();
    this.redraw();
  }

  showAll() {
    this.zoom = null;
    this.redraw();
  }

  destroy() {
    this.observer.disconnect();
    this.dark.removeEventListener("change", this.recolour);
    document.removeEventListener("themechange", this.recolour);
    window.removeEventListener("pointerup", this.release);
    cancelAnimationFrame(this.frame);
    cancelAnimationFrame(this.moved);
    clearTimeout(this.speaking);
    clearTimeout(this.describing);
    this.root.remove();
  }

  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  drawLegend() {
    const named = this.options.legend ? this.series.filter((s) => s.name && !s.unlisted) : [];
    const wanted = JSON.stringify(named.map((s) => [s.id, s.name, s.of, !!s.bare, this.hidden.has(s.id)]));
    if (wanted === this.legendShows) return;
    this.legendShows = wanted;
    fill(
      this.legend,
      named.length < 2
        ? []
        : named.map((s) => {
            const key = el(s.bare ? "span.chart-key.points" : "span.chart-key");
            key.style.background = `var(--c${s.of % 10})`;
            return el(
              "button",
              {
                type: "button",
                title: s.name,
                "aria-pressed": String(!this.hidden.has(s.id)),
                onclick: () => {
                  if (!this.hidden.delete(s.id)) this.hidden.add(s.id);
                  this.drawLegend();
                  this.redraw();
                },
              },
              key,
              el("span", { text: s.name }),
            );
          }),
    );
  }

  // colour resolves a variable of the style sheet.
  colour(name) {
    this.colours ??= new Map();
    if (!this.colours.has(name)) {
      this.probe.style.color = `var(--${name})`;
      this.colours.set(name, getComputedStyle(this.probe).color);
    }
    return this.colours.get(name);
  }

  // prepare returns the curves to draw: {s, x, y, raw}, y smoothed.
  prepare() {
    const shown = this.series.filter((s) => !this.hidden.has(s.id) && values(s.x)?.length);
    const longest = Math.max(0, ...shown.filter((s) => s.smooth).map((s) => s.y.length));
    const steps = this.options.smooth || smoothSteps(longest);
    const lone = shown.filter((s) => s.smooth).length === 1;
    return shown.map((s) => {
      const x = values(s.x),
        raw = values(s.y);
      if (!s.smooth || steps < 2) return { s, x, y: raw };
      const last = raw[raw.length - 1];
      const old = s.smoothed;
      if (!old || old.steps !== steps || old.of !== s.y || old.y.length !== raw.length || !Object.is(old.last, last)) {
        s.smoothed = { steps, of: s.y, last, y: smooth(raw, steps, old?.y) };
      }
      return { s, x, y: s.smoothed.y, raw: lone ? raw : null };
    });
  }

  // spans returns the ranges of the axes, null where no point can be drawn. Of the unsmoothed values behind a curve
  // only the usual ones count: one spike would flatten all.
  spans(curves) {
    const { logX, logY, levels } = this.options;
    let x0 = Infinity,
      x1 = -Infinity,
      y0 = Infinity,
      y1 = -Infinity;
    for (const { x } of curves) {
      const first = logX ? indexAt(x, Number.MIN_VALUE) : 0;
      if (first < x.length) {
        x0 = Math.min(x0, x[first]);
        x1 = Math.max(x1, x[x.length - 1]);
      }
    }
    this.whole = [x0, x1];
    if (this.zoom) [x0, x1] = this.zoom;
    const take = (v) => {
      if (!Number.isFinite(v) || (logY && v <= 0)) return;
      if (v < y0) y0 = v;
      if (v > y1) y1 = v;
    };
    for (const { x, y, raw } of curves) {
      const from = indexAt(x, x0);
      const to = Math.min(x.length, indexAt(x, x1) + 1);
      for (let i = from; i < to; i++) take(y[i]);
      if (raw) usual(raw.subarray ? raw.subarray(from, to) : raw.slice(from, to)).forEach(take);
    }
    if (!(x0 <= x1) || !(y0 <= y1)) return null;
    for (const l of levels) {
      y0 = Math.min(y0, l.y);
      y1 = Math.max(y1, l.y);
    }
    const x = new Span(x0, x1, logX && x0 > 0);
    return { x: x0 === x1 ? x.widened(0) : x, y: new Span(y0, y1, logY).widened(0.04) };
  }

  draw() {
    const width = this.plot.clientWidth,
      height = this.plot.clientHeight;
    if (!width) return;
    const g = this.clear(this.canvas);
    const curves = this.prepare();
    const spans = curves.length ? this.spans(curves) : null;
    this.none.hidden = !!spans;
    this.curves = curves;
    if (!spans) {
      this.spanX = null;
      this.drawOver();
      this.describe();
      return;
    }
    g.font = `12px ${getComputedStyle(this.plot).fontFamily}`;
    const { divide, x: xName, levels } = this.options;
    const rows = Math.max(2, Math.round((height - top - bottom) / 48));
    const [ys, yStep] = ticks(spans.y.min, spans.y.max, rows, spans.y.log);
    const yLabels = ys.map((v) => tick(v, yStep));
    const left = Math.ceil(Math.max(28, ...yLabels.map((t) => g.measureText(t).width + 12)));
    const area = { left, top, width: width - left - right, height: height - top - bottom };
    if (area.width < 20) return;
    this.area = area;
    this.spanX = spans.x;
    const px = (v) => area.left + spans.x.at(v) * area.width;
    const py = (v) => area.top + (1 - spans.y.at(v)) * area.height;
    const columns = Math.max(2, Math.round(area.width / 95));
    const [xs, xStep] = ticks(spans.x.min / divide, spans.x.max / divide, columns, spans.x.log);

    g.lineWidth = 1;
    g.strokeStyle = this.colour("grid");
    g.beginPath();
    for (const v of ys) {
      const y = Math.round(py(v)) + 0.5;
      g.moveTo(area.left, y);
      g.lineTo(area.left + area.width, y);
    }
    for (const v of xs) {
      const x = Math.round(px(v * divide)) + 0.5;
      g.moveTo(x, area.top);
      g.lineTo(x, area.top + area.height);
    }
    g.stroke();
    g.fillStyle = this.colour("axis");
    g.textBaseline = "middle";
    g.textAlign = "right";
    ys.forEach((v, i) => g.fillText(yLabels[i], area.left - 8, py(v)));
    g.textBaseline = "alphabetic";
    g.textAlign = "center";
    for (const v of xs) {
      const label = tick(v, xStep),
        half = g.measureText(label).width / 2;
      g.fillText(label, clamp(px(v * divide), half + 2, width - half - 2), area.top + area.height + 16);
    }
    g.fillText(xName, area.left + area.width / 2, area.top + area.height + 33);

    g.save();
    g.beginPath();
    g.rect(area.left, area.top - 1, area.width + 1, area.height + 2);
    g.clip();
    for (const c of curves) {
      if (c.raw) this.trace(g, c.x, c.raw, px, py, this.colour(`c${c.s.of % 10}`), 1, 0.25);
    }
    for (const c of curves) {
      const colour = this.colour(`c${c.s.of % 10}`);
      if (!c.s.bare) this.trace(g, c.x, c.y, px, py, colour, 1.75, 1, c.s.marked);
      if (c.s.bare || (c.s.marked && c.x.length < area.width / 5)) this.marks(g, c.x, c.y, px, py, colour);
    }
    g.setLineDash([5, 4]);
    g.strokeStyle = this.colour("quiet");
    g.fillStyle = this.colour("quiet");
    g.textAlign = "right";
    for (const l of levels) {
      const y = Math.round(py(l.y)) + 0.5;
      g.beginPath();
      g.moveTo(area.left, y);
      g.lineTo(area.left + area.width, y);
      g.stroke();
      const at = y - area.top < 18 ? y + 14 : y - 5;
      g.save();
      g.setLineDash([]);
      g.strokeStyle = this.colour("box"); // so that it can be read on curves
      g.lineWidth = 4;
      g.strokeText(l.name, area.left + area.width - 4, at);
      g.restore();
      g.fillText(l.name, area.left + area.width - 4, at);
    }
    g.setLineDash([]);
    g.restore();
    Object.assign(this, { px, py });
    this.drawOver();
    this.describe();
  }

  // clear returns the context of a canvas as large as the plot, with nothing on it.
  clear(canvas) {
    const { clientWidth: width, clientHeight: height } = this.plot;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    return g;
  }

  // drawOver draws what moves with the pointer, on a canvas of its own: the curves stay as they are.
  drawOver() {
    const g = this.clear(this.over);
    if (!this.spanX) {
      this.read.hidden = true;
      return;
    }
    const { px, py, area } = this;
    if (this.dragged) {
      const [a, b] = this.dragged.map((v) => clamp(px(v), area.left, area.left + area.width));
      g.globalAlpha = 0.15;
      g.fillStyle = this.colour("accent");
      g.fillRect(Math.min(a, b), area.top, Math.abs(a - b), area.height);
      g.globalAlpha = 1;
    }
    if (this.cursor !== null) this.drawCursor(g, px, py);
    this.showRead(px, this.plot.clientWidth);
  }

  // trace draws a curve: where there are many points to a pixel, the least and the greatest of each.
  trace(g, x, y, px, py, colour, width, alpha) {
    const { spanX, area } = this;
    const from = Math.max(0, indexAt(x, spanX.min) - 1),
      to = Math.min(x.length, indexAt(x, spanX.max) + 1);
    g.strokeStyle = colour;
    g.lineWidth = width;
    g.lineJoin = "round";
    g.globalAlpha = alpha;
    g.beginPath();
    let drawing = false;
    const point = (a, b) => {
      if (drawing) g.lineTo(a, b);
      else g.moveTo(a, b);
      drawing = true;
    };
    if (to - from < 3 * area.width) {
      for (let i = from; i < to; i++) {
        const a = px(x[i]),
          b = py(y[i]);
        if (Number.isFinite(a) && Number.isFinite(b)) point(a, b);
        else drawing = false;
      }
    } else {
      const { logY } = this.options;
      for (let i = from; i < to;) {
        const pixel = Math.floor(px(x[i]));
        if (Number.isNaN(pixel)) {
          i++;
          continue;
        }
        const edge = spanX.value((pixel + 1 - area.left) / area.width);
        const end = Math.min(to, Math.max(i + 1, indexAt(x, edge, i)));
        let first = NaN;
        let last = NaN;
        let least = Infinity;
        let most = -Infinity;
        for (; i < end; i++) {
          const v = y[i];
          if (v - v !== 0 || (logY && v <= 0)) continue; // not finite, or without a place
          if (first !== first) first = v;
          last = v;
          if (v < least) least = v;
          if (v > most) most = v;
        }
        if (first !== first) {
          drawing = false;
          continue;
        }
        point(pixel + 0.5, py(first));
        if (most > first) g.lineTo(pixel + 0.5, py(most));
        if (least < most) g.lineTo(pixel + 0.5, py(least));
        g.lineTo(pixel + 0.5, py(last));
      }
    }
    g.stroke();
    g.globalAlpha = 1;
  }

  marks(g, x, y, px, py, colour) {
    const { spanX, area } = this;
    const from = indexAt(x, spanX.min);
    const to = Math.min(x.length, indexAt(x, spanX.max) + 1);
    const radius = to - from > area.width / 16 ? 3 : 4;
    const stride = Math.max(1, Math.ceil((to - from) / (area.width / 10)));
    g.fillStyle = colour;
    g.strokeStyle = this.colour("box");
    g.lineWidth = 1.5;
    for (let i = to - 1; i >= from; i -= stride) {
      const a = px(x[i]),
        b = py(y[i]);
      if (!Number.isFinite(a) || !Number.isFinite(b)) continue;
      g.beginPath();
      g.arc(a, b, radius, 0, 2 * Math.PI);
      g.fill();
      g.stroke();
    }
  }

  // valueAt returns the x at a pixel of the plot, null where there is nothing.
  valueAt(pixel) {
    if (!this.spanX) return null;
    return this.spanX.value(clamp((pixel - this.area.left) / this.area.width, 0, 1));
  }

  point(value) {
    if (value === this.cursor) return;
    this.cursor = value;
    this.moved ||= requestAnimationFrame(() => {
      this.moved = 0;
      this.drawOver();
    });
  }

  // readings returns what every curve has at the cursor: {s, x, y}, of its nearest point.
  readings() {
    const list = [];
    for (const { s, x, y } of this.curves ?? []) {
      if ((!s.name || s.unlisted) && this.curves.length > 1) continue;
      const [from, to] = [x[0], x[x.length - 1]];
      const margin = (this.spanX.max - this.spanX.min) / 40;
      if (this.cursor < from - margin || this.cursor > to + margin) continue;
      const i = nearest(x, this.cursor);
      if (i >= 0) list.push({ s, x: x[i], y: y[i] });
    }
    return list;
  }

  drawCursor(g, px, py) {
    const at = Math.round(px(this.cursor)) + 0.5;
    g.strokeStyle = this.colour("axis");
    g.lineWidth = 1;
    g.beginPath();
    g.moveTo(at, this.area.top);
    g.lineTo(at, this.area.top + this.area.height);
    g.stroke();
    for (const { s, x, y } of this.readings()) {
      g.fillStyle = this.colour(`c${s.of % 10}`);
      g.beginPath();
      g.arc(px(x), py(y), 3.5, 0, 2 * Math.PI);
      g.fill();
    }
  }

  showRead(px, width) {
    const list = this.cursor === null ? [] : this.readings();
    this.read.hidden = list.length === 0;
    if (!list.length) return;
    const main = list.find((r) => !r.s.bare) ?? list[0];
    fill(
      this.read,
      el("span.at", { text: `${this.axisWord()} ${this.axisValue(main.x)}` }),
      list.slice(0, mostRead).map(({ s, y }) => {
        const key = el(s.bare ? "span.chart-key.points" : "span.chart-key");
        key.style.background = `var(--c${s.of % 10})`;
        const name = s.name ?? this.options.title;
        return el("div", key, el("span.name", { text: name }), el("b", { text: significant(y, 5) }));
      }),
      list.length > mostRead ? el("span.at", { text: `and ${list.length - mostRead} more` }) : null,
    );
    const at = px(this.cursor),
      own = this.read.offsetWidth;
    const x = at + 12 + own < width ? at + 12 : Math.max(0, at - 12 - own);
    this.read.style.transform = `translate(${Math.round(x)}px, ${top + 4}px)`;
  }

  axisWord() {
    return this.options.x.replace(/,.*/, "");
  }

  axisValue(x) {
    const v = x / this.options.divide;
    const unit = /, (.*)$/.exec(this.options.x)?.[1];
    return significant(v, Number.isInteger(v) ? 8 : 5) + (unit ? ` ${unit}` : "");
  }

  key(event) {
    if (!this.spanX || event.ctrlKey || event.altKey || event.metaKey) return;
    const span = this.spanX;
    const part = this.cursor === null ? 1 : clamp(span.at(this.cursor), 0, 1);
    const move = (to) => {
      this.point(span.value(clamp(to, 0, 1)));
      this.speak();
    };
    const scale = (factor) => {
      const half = factor / 2,
        centre = clamp(part, half, 1 - half);
      const [from, to] = [span.value(centre - half), span.value(centre + half)].map((v) => clamp(v, ...this.whole));
      this.zoom = factor > 1 && from <= this.whole[0] && to >= this.whole[1] ? null : [from, to];
      this.redraw();
    };
    const stride = event.shiftKey ? 0.1 : 0.01;
    const actions = {
      ArrowLeft: () => move(part - stride),
      ArrowRight: () => move(part + stride),
      Home: () => move(0),
      End: () => move(1),
      "+": () => scale(0.5),
      "=": () => scale(0.5),
      "-": () => scale(2),
      Escape: () => (this.zoom ? this.showAll() : this.point(null)),
      0: () => this.showAll(),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  // speak says the cursor's values, once the keys have come to rest.
  speak() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      if (this.cursor === null) return;
      const list = this.readings();
      const x = (list.find((r) => !r.s.bare) ?? list[0])?.x;
      put(
        this.spoken,
        list.length === 0
          ? ""
          : `${this.axisWord()} ${this.axisValue(x)}: ${list
              .map(({ s, y }) => `${s.name ?? this.options.title} ${significant(y, 5)}`)
              .join(", ")}`,
      );
    }, 250);
  }

  // describe writes the summary for who cannot see the curves, every few seconds at most.
  describe() {
    if (this.describing) return;
    this.describing = setTimeout(
      () => {
        this.describing = 0;
        put(this.summary, this.text());
      },
      this.summary.textContent ? 5000 : 0,
    );
  }

  // text is the chart in words.
  text() {
    const { title, y: unit, empty } = this.options;
    const head = `${title}${unit ? `, ${unit}` : ""}. `;
    if (!this.spanX) return head + empty;
    return (
      head +
      this.curves
        .map(({ s, x, y }) => {
          let least = -1,
            first = -1,
            last = -1;
          for (let i = 0; i < y.length; i++) {
            if (!Number.isFinite(y[i])) continue;
            if (first < 0) first = i;
            last = i;
            if (least < 0 || y[i] < y[least]) least = i;
          }
          if (first < 0) return "";
          const at = (i) => `${significant(y[i], 4)} at ${this.axisWord()} ${this.axisValue(x[i])}`;
          return `${s.name ?? title}: ${y.length} points, from ${at(first)} to ${at(last)}, the lowest ${at(least)}.`;
        })
        .join(" ")
    );
  }
}
