// matmul_split: a product of matrices for few rows, finished by an epilogue (bias, GELU, residual, …).
//
//   epilogue(r, c, sum_k a[r,k] * b[c,k])
//
// in: a (ROWS,SUMS), in rows of ASTRIDE from column ACOL on  b (COLS,SUMS), transposed.  SUMS % 4 == 0.
// out, declared by the epilogue: rows of STRIDE, columns [COL, COL+COLS)
// dispatch: x: ceil(COLS / TN) groups, y: ceil(ROWS / TM).  ACOL, ASTRIDE, COL, STRIDE % 4 == 0.
//
// For GPUs: with few rows reading b is all the work, and its rows are long. The threads of a group share TM x TN sums
// and split the addends, neighbours reading neighbouring quads; a tree adds their parts, in the same order every time.
// Its first step has one half of them in registers: FXC takes half a minute to clear a variable of 512 quads.
// Rows past the end read the last one and are never stored; columns are stored in quads, so STRIDE leaves room for COLS
// rounded up to 4.
//
// uses: store epilogue

const TM: u32 = 1u; // spec: rows a group
const TN4: u32 = 1u; // spec: quads of columns a group
const WG: u32 = 64u; // spec: threads, a power of two, at least SUMS
const TN: u32 = TN4 * 4u;
const SUMS: u32 = TM * TN4;
const ACCS: u32 = TM * TN;
const HALF: u32 = WG / 2u;

struct Params { ROWS: u32, COLS: u32, SUMS: u32, ASTRIDE: u32, ACOL: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Quad>;
@group(0) @binding(2) var<storage, read> b: array<Quad>;

var<workgroup> parts: array<array<vec4<f32>, HALF>, SUMS>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let row = wid.y * TM;
    let col = wid.x * TN;
    let end = p.SUMS / 4u;
    var acc: array<vec4<f32>, ACCS>;
    for (var k = li; k < end; k += WG) {
        var m: array<vec4<f32>, TM>;
        for (var i = 0u; i < TM; i++) { // unroll
            m[i] = unpack4(a[(min(row + i, p.ROWS - 1u) * p.ASTRIDE + p.ACOL) / 4u + k]);
        }
        for (var j = 0u; j < TN; j++) { // unroll
            let n = unpack4(b[min(col + j, p.COLS - 1u) * end + k]);
            for (var i = 0u; i < TM; i++) { // unroll
                acc[i * TN + j] = fma(m[i], n, acc[i * TN + j]);
            }
        }
    }
    let own = li % HALF; // for every compiler below the length of parts
    let one = vec4<f32>(1.0);
    var sum: array<vec4<f32>, SUMS>;
    for (var i = 0u; i < TM; i++) { // unroll
        for (var j = 0u; j < TN4; j++) { // unroll
            sum[i * TN4 + j] = vec4<f32>(
                dot(acc[i * TN + j * 4u], one), dot(acc[i * TN + j * 4u + 1u], one),
                dot(acc[i * TN + j * 4u + 2u], one), dot(acc[i * TN + j * 4u + 3u], one));
        }
    }
    workgroupBarrier(); // the driver's own zeroing may come late
    if li >= HALF {
        for (var s = 0u; s < SUMS; s++) { // unroll
            parts[s][own] = sum[s];
        }
    }
    workgroupBarrier();
    if li < HALF {
        for (var s = 0u; s < SUMS; s++) { // unroll
            parts[s][own] += sum[s];
        }
    }
    for (var gap = HALF / 2u; gap > 0u; gap /= 2u) {
        workgroupBarrier();
        if li < gap {
            for (var s = 0u; s < SUMS; s++) { // unroll
                parts[s][own] += parts[s][(own + gap) % HALF];
            }
        }
    }
    workgroupBarrier();
    var total = vec4<f32>(0.0);
    for (var s = 0u; s < SUMS; s++) { // unroll
        total = select(total, parts[s][0u], li == s);
    }
    let r = row + li / TN4;
    let q = col / 4u + li % TN4;
    if li < SUMS && r < p.ROWS && q * 4u < p.COLS { epilogue((r * p.STRIDE + p.COL) / 4u + q, q, total); }
}
