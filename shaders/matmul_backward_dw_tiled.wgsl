// matmul_backward_dw_tiled: dw += dout^T @ x through workgroup memory, the weights' gradient.
//
//   epilogue(o, k, sum_n dout[n,o] * x[n,k])
//
// in: dout (N,STRIDE), columns [COL, COL+OC)  x (N,K)      out, declared by the epilogue: (OC,K)
// dispatch: x: ceil(K / BN) groups, y: ceil(OC / BM), BM = WY*TM, BN = WX*TN4*4.  K % 4 == 0, COL % 4 == 0, STRIDE % 4 == 0, any N.
//
// As matmul_forward_tiled, walking N in steps of BK; both matrices lie n outermost already and no block is turned. Past N, dout
// counts zero.
//
// uses: store epilogue

const TM: u32 = 4u; // spec: rows (o) a thread, a multiple of 4
const TN4: u32 = 1u; // spec: quads of columns (k) a thread
const WX: u32 = 16u; // spec: threads along columns
const WY: u32 = 16u; // spec: threads along rows
const BK: u32 = 16u; // spec: depth of a tile
const TM4: u32 = TM / 4u;
const SUMS: u32 = TM * TN4;
const THREADS: u32 = WX * WY;
const BM4: u32 = WY * TM4;
const BN4: u32 = WX * TN4;
const DQUADS: u32 = BK * BM4;
const XQUADS: u32 = BK * BN4;

struct Params { N: u32, K: u32, OC: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dout: array<Quad>;
@group(0) @binding(2) var<storage, read> x: array<Quad>;

var<workgroup> dt: array<vec4<f32>, DQUADS>;
var<workgroup> xt: array<vec4<f32>, XQUADS>;

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let row4 = wid.y * BM4;
    let col4 = wid.x * BN4;
    let k4 = p.K / 4u;
    let s4 = p.STRIDE / 4u;
    var acc: array<vec4<f32>, SUMS>;
    for (var n0 = 0u; n0 < p.N; n0 += BK) {
        for (var q = li; q < DQUADS; q += THREADS) {
            let n = n0 + q / BM4;
            let d = unpack4(dout[min(n, p.N - 1u) * s4 + min(p.COL / 4u + row4 + q % BM4, s4 - 1u)]);
            dt[q] = select(vec4<f32>(0.0), d, vec4<bool>(n < p.N));
        }
        for (var q = li; q < XQUADS; q += THREADS) {
            xt[q] = unpack4(x[min(n0 + q / BN4, p.N - 1u) * k4 + min(col4 + q % BN4, k4 - 1u)]);
        }
        workgroupBarrier();
        for (var n = 0u; n < BK; n++) { // unroll
            var b: array<vec4<f32>, TN4>;
            for (var j = 0u; j < TN4; j++) { // unroll
                b[j] = xt[n * BN4 + lid.x + j * WX];
            }
            for (var i = 0u; i < TM4; i++) { // unroll
                let a = dt[n * BM4 + lid.y * TM4 + i];
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
        if row + i < p.OC {
            for (var j = 0u; j < TN4; j++) { // unroll
                if col4 + lid.x + j * WX < k4 {
                    epilogue((row + i) * k4 + col4 + lid.x + j * WX, col4 + lid.x + j * WX, acc[i * TN4 + j]);
                }
            }
        }
    }
}
