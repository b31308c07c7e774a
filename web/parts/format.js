// Numbers, sizes and times in the words of the terminal (train/runs, train/chart).

// count prints a number with three digits and the letter of its thousands: 124M, 5.31k, 830.
export function count(v) {
  if (!Number.isFinite(v)) return "–";
  const a = Math.abs(v);
  if (a < 999.5) return String(Math.round(v));
  for (const [unit, letter] of [
    [1e3, "k"],
    [1e6, "M"],
    [1e9, "B"],
    [1e12, "T"],
  ]) {
    if (a < 999.5 * unit || letter === "T") {
      return (v / unit).toFixed(Math.max(0, 2 - Math.trunc(Math.log10(a / unit)))) + letter;
    }
  }
}

// bytes prints bytes in the unit that suits them: 497.8 MiB.
export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return i === 0 ? `${n} B` : `${n.toFixed(1)} ${units[i]}`;
}

const two = (n) => String(n).padStart(2, "0");

// duration prints seconds with two units: 1h02m, 3m20s, 12.5s.
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${Number(seconds.toPrecision(3))}s`;
  const s = Math.floor(seconds);
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)}h${two(Math.floor(s / 60) % 60)}m`;
  return `${Math.floor(s / 86400)}d${two(Math.floor(s / 3600) % 24)}h`;
}

// ago prints how long ago that was, in one unit.
export function ago(seconds) {
  if (seconds < 60) return "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

// fixed prints a number with n decimals, and a dash where there is none.
export function fixed(v, n = 4) {
  return v === null || v === undefined || !Number.isFinite(v) ? "–" : v.toFixed(n);
}

// significant prints a value with about n digits: 0.0006, 3.214, 10,406, 6e-7.
export function significant(v, n = 4) {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  const a = Math.abs(v);
  if (a !== 0 && (a >= 1e7 || a < 1e-4)) return exponent(v, n - 1);
  if (a >= 10 ** (n - 1)) return thousands(v.toFixed(0));
  return String(Number(v.toPrecision(n)));
}

// tick prints an axis's value with the digits that its step needs; step 0: as few as there are.
export function tick(v, step) {
  const a = Math.abs(v);
  if (v === 0) return "0";
  if (a >= 1e7 || (a < 1e-3 && (step === 0 || step < 1e-5))) return exponent(v, 2);
  if (step === 0 && a < 1) return String(Number(v.toPrecision(6)));
  const digits = Math.max(0, Math.ceil(-Math.log10(step || 1) - 1e-9));
  return thousands(v.toFixed(digits));
}

// exponent is 6e-4, not 6.00e-04.
function exponent(v, digits) {
  const [number, power] = v.toExponential(digits).split("e");
  return `${Number(number)}e${Number(power)}`;
}

// thousands puts commas between the digits of what has more than four.
function thousands(text) {
  const [whole, rest] = text.split(".");
  const digits = whole.replace("-", "").length;
  const grouped = digits > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, ",") : whole;
  return rest === undefined ? grouped : `${grouped}.${rest}`;
}

// axisUnit names a horizontal axis in a unit that suits its greatest value, and what divides its values.
export function axisUnit(kind, longest) {
  if (kind === "tokens") {
    if (longest >= 1e9) return { label: "tokens, billions", divide: 1e9 };
    if (longest >= 1e6) return { label: "tokens, millions", divide: 1e6 };
    return { label: "tokens", divide: 1 };
  }
  if (kind === "time") {
    if (longest >= 2 * 86400) return { label: "time in steps, days", divide: 86400 };
    if (longest >= 2 * 3600) return { label: "time in steps, hours", divide: 3600 };
    if (longest >= 120) return { label: "time in steps, minutes", divide: 60 };
    return { label: "time in steps, seconds", divide: 1 };
  }
  return { label: "step", divide: 1 };
}
