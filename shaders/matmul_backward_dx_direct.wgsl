// matmul_backward_dx_direct: dx = dout @ w, finished by an epilogue (store, add, GELU's derivative).
//
//   epilogue(n, k, sum_o dout[n,o] * w[o,k])
//
// in: dout (N,STRIDE), columns [COL, COL+OC)  w (OC,K)      out, declared by the epilogue: (N,K)
// dispatch: x: ceil(K / (WX*TN)) groups, y: ceil(N / (WY*TM)).  K % 4 == 0, COL % 4 == 0, STRIDE % 4 == 0.
//
// As matmul_forward_direct. Where OC is no multiple of 4, dout's columns up to the next multiple must be zero.
//
// uses: store epilogue

const TM: u32 = 4u; // spec: rows a thread
const TN4: u32 = 1u; // spec: quads of columns a thread
const WX: u32 = 16u; // spec: threads along columns
const WY: u32 = 4u; // spec: threads along rows
const SUMS: u32 = TM * TN4;

struct Params { N: u32, K: u32, OC: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dout: array<Quad>;
@group(0) @binding(2) var<storage, read> w: array<Quad>;

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let row = (wid.y * WY + lid.y) * TM;
    let col4 = (wid.x * WX + lid.x) * TN4;
    let k4 = p.K / 4u;
    if row >= p.N || col4 >= k4 { return; }
    var drow: array<u32, TM>;
    var wcol: array<u32, TN4>;
    for (var i = 0u; i < TM; i++) { // unroll
        drow[i] = (min(row + i, p.N - 1u) * p.STRIDE + p.COL) / 4u;
    }
    for (var j = 0u; j < TN4; j++) { // unroll
        wcol[j] = min(col4 + j, k4 - 1u);
    }
    var acc: array<vec4<f32>, SUMS>;
    let last = p.OC - 1u;
    for (var o = 0u; o < p.OC; o += 4u) {
        var w0: array<vec4<f32>, TN4>;
        var w1: array<vec4<f32>, TN4>;
        var w2: array<vec4<f32>, TN4>;
        var w3: array<vec4<f32>, TN4>;
        for (var j = 0u; j < TN4; j++) { // unroll
            w0[j] = unpack4(w[o * k4 + wcol[j]]);
            w1[j] = unpack4(w[min(o + 1u, last) * k4 + wcol[j]]);
            w2[j] = unpack4(w[min(o + 2u, last) * k4 + wcol[j]]);
            w3[j] = unpack4(w[min(o + 3u, last) * k4 + wcol[j]]);
        }
        for (var i = 0u; i < TM; i++) { // unroll
            let a = unpack4(dout[drow[i] + o / 4u]);
            for (var j = 0u; j < TN4; j++) { // unroll
                acc[i * TN4 + j] = fma(vec4<f32>(a.w), w3[j], fma(vec4<f32>(a.z), w2[j],
                    fma(vec4<f32>(a.y), w1[j], fma(vec4<f32>(a.x), w0[j], acc[i * TN4 + j]))));
            }
        }
    }
    for (var i = 0u; i < TM; i++) { // unroll
        if row + i < p.N {
            for (var j = 0u; j < TN4; j++) { // unroll
                if col4 + j < k4 {
                    epilogue((row + i) * k4 + col4 + j, col4 + j, acc[i * TN4 + j]);
                }
            }
        }
    }
}
