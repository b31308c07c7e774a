// matmul_forward_split: out = x @ w^T for few rows of x, finished by an epilogue (bias, GELU, residual, …).
//
//   epilogue(n, o, sum_k x[n,k] * w[o,k])
//
// in: x (N,K)  w (OC,K)      out, declared by the epilogue: (N,STRIDE), columns [COL, COL+OC)
// dispatch: x: ceil(OC / TN) groups, y: ceil(N / TM).  K % 4 == 0, COL % 4 == 0, STRIDE % 4 == 0.
//
// For GPUs: with few rows reading w is all the work, and a column's row of w is long. The threads of a group share TM x TN sums and
// split K, neighbours reading neighbouring quads; a tree adds their parts, in the same order every time. Rows past the end read
// the last one and are never stored; columns are stored in quads, so STRIDE leaves room for OC rounded up to 4.
//
// uses: store epilogue

const TM: u32 = 1u; // spec: rows a group
const TN4: u32 = 1u; // spec: quads of columns a group
const WG: u32 = 64u; // spec: threads, a power of two
const TN: u32 = TN4 * 4u;
const SUMS: u32 = TM * TN4;
const ACCS: u32 = TM * TN;
const PARTS: u32 = SUMS * WG;

struct Params { N: u32, K: u32, OC: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Quad>;
@group(0) @binding(2) var<storage, read> w: array<Quad>;

var<workgroup> parts: array<vec4<f32>, PARTS>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let row = wid.y * TM;
    let col = wid.x * TN;
    let k4 = p.K / 4u;
    var acc: array<vec4<f32>, ACCS>;
    for (var k = li; k < k4; k += WG) {
        var xs: array<vec4<f32>, TM>;
        for (var i = 0u; i < TM; i++) { // unroll
            xs[i] = unpack4(x[min(row + i, p.N - 1u) * k4 + k]);
        }
        for (var j = 0u; j < TN; j++) { // unroll
            let ws = unpack4(w[min(col + j, p.OC - 1u) * k4 + k]);
            for (var i = 0u; i < TM; i++) { // unroll
                acc[i * TN + j] = fma(xs[i], ws, acc[i * TN + j]);
            }
        }
    }
    let one = vec4<f32>(1.0);
    workgroupBarrier(); // the driver's own zeroing may come late
    for (var i = 0u; i < TM; i++) { // unroll
        for (var j = 0u; j < TN4; j++) { // unroll
            parts[(i * TN4 + j) * WG + li] = vec4<f32>(dot(acc[i * TN + j * 4u], one), dot(acc[i * TN + j * 4u + 1u], one),
                dot(acc[i * TN + j * 4u + 2u], one), dot(acc[i * TN + j * 4u + 3u], one));
        }
    }
    for (var gap = WG / 2u; gap > 0u; gap /= 2u) {
        workgroupBarrier();
        if li < gap {
            for (var s = 0u; s < SUMS; s++) { // unroll
                parts[s * WG + li] += parts[s * WG + li + gap];
            }
        }
    }
    workgroupBarrier();
    for (var s = li; s < SUMS; s += WG) {
        let n = row + s / TN4;
        let q = col / 4u + s % TN4;
        if n < p.N && q * 4u < p.OC { epilogue((n * p.STRIDE + p.COL) / 4u + q, q, parts[s * WG]); }
    }
}
