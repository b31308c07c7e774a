// Columns of numbers, and what charts compute from them. Nothing here touches a page.

// Column is a growing array of float64.
export class Column {
  constructor(values = []) {
    this.data = new Float64Array(Math.max(64, values.length));
    this.length = 0;
    this.append(values);
  }

  push(v) {
    this.reserve(1);
    this.data[this.length++] = v;
  }

  append(values) {
    this.reserve(values.length);
    for (let i = 0; i < values.length; i++) this.data[this.length + i] = values[i] ?? NaN; // null is NaN
    this.length += values.length;
  }

  clear() {
    this.length = 0;
  }

  // view returns the values without a copy. A later append may leave it behind.
  view() {
    return this.data.subarray(0, this.length);
  }

  reserve(more) {
    const need = this.length + more;
    if (need <= this.data.length) return;
    const data = new Float64Array(Math.max(need, 2 * this.data.length));
    data.set(this.view());
    this.data = data;
  }
}

// smoothSteps is the number of steps that curves are smoothed over, by the length of the longest.
export const smoothSteps = (longest) => Math.max(9, Math.floor(longest / 40));

// smooth returns the means of n values around every place: fewer near the ends, and at the start as many on either
// side, where losses fall fast. Those that are not finite do not count, and stay.
export function smooth(y, n, out) {
  const size = y.length;
  if (!out || out.length !== size) out = new Float64Array(size);
  const most = Math.floor((n - 1) / 2);
  let sum = 0,
    number = 0,
    from = 0,
    to = 0; // of y[from:to]
  for (let i = 0; i < size; i++) {
    const half = Math.min(most, i),
      end = Math.min(i + half + 1, size);
    for (; to < end; to++) {
      if (Number.isFinite(y[to])) {
        sum += y[to];
        number++;
      }
    }
    for (; from < i - half; from++) {
      if (Number.isFinite(y[from])) {
        sum -= y[from];
        number--;
      }
    }
    out[i] = Number.isFinite(y[i]) ? sum / number : NaN;
  }
  return out;
}

// indexAt returns the first index, of those from one on, whose x is v or more; x.length where there is none.
export function indexAt(x, v, from = 0) {
  let lo = from,
    hi = x.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (x[mid] < v) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

// nearest returns the index whose x is nearest to v, -1 where there is none.
export function nearest(x, v) {
  const i = indexAt(x, v);
  if (i === 0) return x.length ? 0 : -1;
  return i === x.length || v - x[i - 1] <= x[i] - v ? i - 1 : i;
}

// ticks returns about n round values between min and max, and the step between them (0 on a logarithmic axis).
export function ticks(min, max, n, log) {
  if (log && max >= 8 * min) return [logTicks(min, max, n), 0];
  const raw = (max - min) / Math.max(n, 1);
  if (!(raw > 0) || !Number.isFinite(raw)) return [[], 1];
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((m) => m * unit >= raw * 0.999) ?? 10) * unit;
  const values = [];
  const from = Math.ceil(min / step - 1e-9);
  for (let i = from; i * step <= max + 1e-9 * step; i++) values.push(i === 0 ? 0 : i * step);
  return [values, step];
}

// logTicks are powers of ten, with 2 and 5 times them where there is room.
function logTicks(min, max, n) {
  let at = [];
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    at = [];
    for (let e = Math.floor(Math.log10(min)); e <= Math.ceil(Math.log10(max)); e++) {
      for (const f of factors) {
        const v = f * 10 ** e;
        if (v >= min * 0.999 && v <= max * 1.001) at.push(v);
      }
    }
    if (at.length <= n + 2) return at;
  }
  const stride = Math.ceil(at.length / Math.max(n, 1));
  return at.filter((_, i) => i % stride === 0);
}
