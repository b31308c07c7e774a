// matmul_backward_dx_tiled: dx = dout @ w through workgroup memory, finished by an epilogue (store, add, GELU's derivative).
//
//   epilogue(n, k, sum_o dout[n,o] * w[o,k])
//
// in: dout (N,STRIDE), columns [COL, COL+OC)  w (OC,K)      out, declared by the epilogue: (N,K)
// dispatch: x: ceil(K / BN) groups, y: ceil(N / BM), BM = WY*TM, BN = WX*TN4*4.  K % 4 == 0, COL % 4 == 0, STRIDE % 4 == 0.
//
// As matmul_forward_tiled, walking OC in steps of BK; w's rows lie o outermost already and only dout's blocks are turned.
// Where OC is no multiple of 4, dout's columns up to the next multiple must be zero.
//
// uses: store epilogue

const TM: u32 = 4u; // spec: rows a thread, a multiple of 4
const TN4: u32 = 1u; // spec: quads of columns a thread
const WX: u32 = 16u; // spec: threads along columns
const WY: u32 = 16u; // spec: threads along rows
const BK: u32 = 16u; // spec: depth of a tile, a multiple of 4
const TM4: u32 = TM / 4u;
const SUMS: u32 = TM * TN4;
const THREADS: u32 = WX * WY;
const BM4: u32 = WY * TM4;
const BN4: u32 = WX * TN4;
const BK4: u32 = BK / 4u;
const DS: u32 = BM4 + 1u; // quads from one o to the next; one more than needed, so that a block's stores meet other banks
const DQUADS: u32 = BK * DS;
const WQUADS: u32 = BK * BN4;
const DBLOCKS: u32 = BM4 * BK4;
const OTHERS: u32 = THREADS - DBLOCKS % THREADS; // w's quads begin with the threads that dout's blocks leave idle

struct Params { N: u32, K: u32, OC: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dout: array<Quad>;
@group(0) @binding(2) var<storage, read> w: array<Quad>;

var<workgroup> dt: array<vec4<f32>, DQUADS>;
var<workgroup> wt: array<vec4<f32>, WQUADS>;

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let row4 = wid.y * BM4;
    let col4 = wid.x * BN4;
    let k4 = p.K / 4u;
    let oc4 = (p.OC + 3u) / 4u;
    var acc: array<vec4<f32>, SUMS>;
    for (var o0 = 0u; o0 < oc4; o0 += BK4) {
        for (var b = li; b < DBLOCKS; b += THREADS) {
            let o = b % BK4;
            let m = b / BK4;
            let at = p.COL / 4u + min(o0 + o, oc4 - 1u);
            let inside = vec4<bool>(o0 + o < oc4);
            let a0 = unpack4(dout[min((row4 + m) * 4u, p.N - 1u) * (p.STRIDE / 4u) + at]);
            let a1 = unpack4(dout[min((row4 + m) * 4u + 1u, p.N - 1u) * (p.STRIDE / 4u) + at]);
            let a2 = unpack4(dout[min((row4 + m) * 4u + 2u, p.N - 1u) * (p.STRIDE / 4u) + at]);
            let a3 = unpack4(dout[min((row4 + m) * 4u + 3u, p.N - 1u) * (p.STRIDE / 4u) + at]);
            dt[o * 4u * DS + m] = select(vec4<f32>(0.0), vec4<f32>(a0.x, a1.x, a2.x, a3.x), inside);
            dt[(o * 4u + 1u) * DS + m] = select(vec4<f32>(0.0), vec4<f32>(a0.y, a1.y, a2.y, a3.y), inside);
            dt[(o * 4u + 2u) * DS + m] = select(vec4<f32>(0.0), vec4<f32>(a0.z, a1.z, a2.z, a3.z), inside);
            dt[(o * 4u + 3u) * DS + m] = select(vec4<f32>(0.0), vec4<f32>(a0.w, a1.w, a2.w, a3.w), inside);
        }
        for (var q = (li + OTHERS) % THREADS; q < WQUADS; q += THREADS) {
            wt[q] = unpack4(w[min(o0 * 4u + q / BN4, p.OC - 1u) * k4 + min(col4 + q % BN4, k4 - 1u)]);
        }
        workgroupBarrier();
        for (var o = 0u; o < BK; o++) { // unroll
            var b: array<vec4<f32>, TN4>;
            for (var j = 0u; j < TN4; j++) { // unroll
                b[j] = wt[o * BN4 + lid.x + j * WX];
            }
            for (var i = 0u; i < TM4; i++) { // unroll
                let a = dt[o * DS + lid.y * TM4 + i];
                for (var j = 0u; j < TN4; j++) { // unroll
                    acc[i * 4u * TN4 + j] = fma(vec4<f32>(a.x), b[j], acc[i * 4u * TN4 + j]);
                    acc[(i * 4u + 1u) * TN4 + j] = fma(vec4<f32>(a.y), b[j], acc[(i * 4u + 1u) * TN4 + j]);
                    acc[(i * 4u + 2u) * TN4 + j] = fma(vec4<f32>(a.z), b[j], acc[(i * 4u + 2u) * TN4 + j]);
                    acc[(i * 4u + 3u) * TN4 + j] = fma(vec4<f32>(a.w), b[j], acc[(i * 4u + 3u) * TN4 + j]);
                }
            }
        }
        workgroupBarrier(); // before the next step's tiles
    }
    let row = row4 * 4u + lid.y * TM;
    for (var i = 0u; i < TM; i++) { // unroll
        if row + i < p.N {
            for (var j = 0u; j < TN4; j++) { // unroll
                if col4 + lid.x + j * WX < k4 {
                    epilogue((row + i) * k4 + col4 + lid.x + j * WX, col4 + lid.x + j * WX, acc[i * TN4 + j]);
                }
            }
        }
    }
}
