// matmul_forward_direct: out = x @ w^T, finished by an epilogue (bias, GELU, residual, …).
//
//   epilogue(n, o, sum_k x[n,k] * w[o,k])
//
// in: x (N,K)  w (OC,K)      out, declared by the epilogue: (N,STRIDE), columns [COL, COL+OC)
// dispatch: x: ceil(OC / (WX*TN)) groups, y: ceil(N / (WY*TM)).  K % 4 == 0, COL % 4 == 0, STRIDE % 4 == 0.
//
// No workgroup memory: each thread keeps TM x TN sums and reads quads along K. On software Vulkan a load costs as much as
// 9 multiply-adds whatever its address, so only large register tiles help there. Rows past the end read the last one and are
// never stored; columns are stored in quads, so STRIDE leaves room for OC rounded up to 4.
//
// uses: store epilogue

const TM: u32 = 4u; // spec: rows a thread
const TN4: u32 = 1u; // spec: quads of columns a thread
const WX: u32 = 16u; // spec: threads along columns
const WY: u32 = 4u; // spec: threads along rows
const TN: u32 = TN4 * 4u;
const SUMS: u32 = TM * TN4;

struct Params { N: u32, K: u32, OC: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Quad>;
@group(0) @binding(2) var<storage, read> w: array<Quad>;

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let row = (wid.y * WY + lid.y) * TM;
    let col = (wid.x * WX + lid.x) * TN;
    if row >= p.N || col >= p.OC { return; }
    let k4 = p.K / 4u;
    var xrow: array<u32, TM>;
    var wrow: array<u32, TN>;
    for (var i = 0u; i < TM; i++) { // unroll
        xrow[i] = min(row + i, p.N - 1u) * k4;
    }
    for (var j = 0u; j < TN; j++) { // unroll
        wrow[j] = min(col + j, p.OC - 1u) * k4;
    }
    var acc: array<vec4<f32>, SUMS>;
    for (var k = 0u; k < k4; k++) {
        var wt: array<vec4<f32>, TN>; // 4 x 4 blocks of w, transposed
        for (var j = 0u; j < TN4; j++) { // unroll
            let w0 = unpack4(w[wrow[j * 4u] + k]);
            let w1 = unpack4(w[wrow[j * 4u + 1u] + k]);
            let w2 = unpack4(w[wrow[j * 4u + 2u] + k]);
            let w3 = unpack4(w[wrow[j * 4u + 3u] + k]);
            wt[j * 4u] = vec4<f32>(w0.x, w1.x, w2.x, w3.x);
            wt[j * 4u + 1u] = vec4<f32>(w0.y, w1.y, w2.y, w3.y);
            wt[j * 4u + 2u] = vec4<f32>(w0.z, w1.z, w2.z, w3.z);
            wt[j * 4u + 3u] = vec4<f32>(w0.w, w1.w, w2.w, w3.w);
        }
        for (var i = 0u; i < TM; i++) { // unroll
            let a = unpack4(x[xrow[i] + k]);
            for (var j = 0u; j < TN4; j++) { // unroll
                acc[i * TN4 + j] = fma(vec4<f32>(a.w), wt[j * 4u + 3u], fma(vec4<f32>(a.z), wt[j * 4u + 2u],
                    fma(vec4<f32>(a.y), wt[j * 4u + 1u], fma(vec4<f32>(a.x), wt[j * 4u], acc[i * TN4 + j]))));
            }
        }
    }
    for (var i = 0u; i < TM; i++) { // unroll
        if row + i < p.N {
            for (var j = 0u; j < TN4; j++) { // unroll
                if col + j * 4u < p.OC {
                    epilogue(((row + i) * p.STRIDE + p.COL + col) / 4u + j, col / 4u + j, acc[i * TN4 + j]);
                }
            }
        }
    }
}
