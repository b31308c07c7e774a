// matmul_forward_tiled: out = x @ w^T through workgroup memory, finished by an epilogue (bias, GELU, residual, …).
//
//   epilogue(n, o, sum_k x[n,k] * w[o,k])
//
// in: x (N,K)  w (OC,K)      out, declared by the epilogue: (N,STRIDE), columns [COL, COL+OC)
// dispatch: x: ceil(OC / BN) groups, y: ceil(N / BM), BM = WY*TM, BN = WX*TN4*4.  K % 4 == 0, COL % 4 == 0, STRIDE % 4 == 0.
//
// For GPUs: a group keeps BM x BN sums in registers and walks K in steps of BK, whose tiles of x and w lie in workgroup memory,
// k outermost, in quads of neighbouring rows: a thread reads TM/4 + TN4 quads for 4*TM*TN4 multiply-adds. Loading turns blocks of
// 4 x 4 in registers. A thread's quads of columns are WX apart, so that neighbours read and store neighbours. Rows past the end
// read the last one and are never stored; past K, x counts zero.
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
const XS: u32 = BM4 + 1u; // quads from one k to the next; one more than needed, so that a block's stores meet other banks
const WS: u32 = BN4 + 1u;
const XQUADS: u32 = BK * XS;
const WQUADS: u32 = BK * WS;
const XBLOCKS: u32 = BM4 * BK4;
const WBLOCKS: u32 = BN4 * BK4;
const OTHERS: u32 = THREADS - XBLOCKS % THREADS; // w's blocks begin with the threads that x's leave idle

struct Params { N: u32, K: u32, OC: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Quad>;
@group(0) @binding(2) var<storage, read> w: array<Quad>;

var<workgroup> xt: array<vec4<f32>, XQUADS>;
var<workgroup> wt: array<vec4<f32>, WQUADS>;

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let row4 = wid.y * BM4;
    let col4 = wid.x * BN4;
    let k4 = p.K / 4u;
    var acc: array<vec4<f32>, SUMS>;
    for (var k0 = 0u; k0 < k4; k0 += BK4) {
        for (var b = li; b < XBLOCKS; b += THREADS) {
            let k = b % BK4;
            let m = b / BK4;
            let at = min(k0 + k, k4 - 1u);
            let inside = vec4<bool>(k0 + k < k4);
            let a0 = unpack4(x[min((row4 + m) * 4u, p.N - 1u) * k4 + at]);
            let a1 = unpack4(x[min((row4 + m) * 4u + 1u, p.N - 1u) * k4 + at]);
            let a2 = unpack4(x[min((row4 + m) * 4u + 2u, p.N - 1u) * k4 + at]);
            let a3 = unpack4(x[min((row4 + m) * 4u + 3u, p.N - 1u) * k4 + at]);
            xt[k * 4u * XS + m] = select(vec4<f32>(0.0), vec4<f32>(a0.x, a1.x, a2.x, a3.x), inside);
            xt[(k * 4u + 1u) * XS + m] = select(vec4<f32>(0.0), vec4<f32>(a0.y, a1.y, a2.y, a3.y), inside);
            xt[(k * 4u + 2u) * XS + m] = select(vec4<f32>(0.0), vec4<f32>(a0.z, a1.z, a2.z, a3.z), inside);
            xt[(k * 4u + 3u) * XS + m] = select(vec4<f32>(0.0), vec4<f32>(a0.w, a1.w, a2.w, a3.w), inside);
        }
        for (var b = (li + OTHERS) % THREADS; b < WBLOCKS; b += THREADS) {
            let k = b % BK4;
            let m = b / BK4;
            let at = min(k0 + k, k4 - 1u);
            let b0 = unpack4(w[min((col4 + m) * 4u, p.OC - 1u) * k4 + at]);
            let b1 = unpack4(w[min((col4 + m) * 4u + 1u, p.OC - 1u) * k4 + at]);
            let b2 = unpack4(w[min((col4 + m) * 4u + 2u, p.OC - 1u) * k4 + at]);
            let b3 = unpack4(w[min((col4 + m) * 4u + 3u, p.OC - 1u) * k4 + at]);
            wt[k * 4u * WS + m] = vec4<f32>(b0.x, b1.x, b2.x, b3.x);
            wt[(k * 4u + 1u) * WS + m] = vec4<f32>(b0.y, b1.y, b2.y, b3.y);
            wt[(k * 4u + 2u) * WS + m] = vec4<f32>(b0.z, b1.z, b2.z, b3.z);
            wt[(k * 4u + 3u) * WS + m] = vec4<f32>(b0.w, b1.w, b2.w, b3.w);
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k++) { // unroll
            var b: array<vec4<f32>, TN4>;
            for (var j = 0u; j < TN4; j++) { // unroll
                b[j] = wt[k * WS + lid.x + j * WX];
            }
            for (var i = 0u; i < TM4; i++) { // unroll
                let a = xt[k * XS + lid.y * TM4 + i];
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
                if (col4 + lid.x + j * WX) * 4u < p.OC {
                    epilogue(((row + i) * p.STRIDE + p.COL) / 4u + col4 + lid.x + j * WX, col4 + lid.x + j * WX, acc[i * TN4 + j]);
                }
            }
        }
    }
}
