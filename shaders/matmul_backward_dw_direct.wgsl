// matmul_backward_dw_direct: dw += dout^T @ x, the weights' gradient.
//
//   epilogue(o, k, sum_n dout[n,o] * x[n,k])
//
// in: dout (N,STRIDE), columns [COL, COL+OC)  x (N,K)      out, declared by the epilogue: (OC,K)
// dispatch: x: ceil(K / (WX*TN)) groups, y: ceil(OC / (WY*TM)).  K % 4 == 0, COL % 4 == 0, STRIDE % 4 == 0, any N.
//
// As matmul_forward_direct; four rows n a turn, so that each sum is loaded and stored once for four multiply-adds.
//
// uses: store epilogue

const TM4: u32 = 1u; // spec: quads of rows (o) a thread
const TN4: u32 = 1u; // spec: quads of columns (k) a thread
const WX: u32 = 16u; // spec: threads along columns
const WY: u32 = 4u; // spec: threads along rows
const TM: u32 = TM4 * 4u;
const SUMS: u32 = TM * TN4;
const XS: u32 = TN4 * 4u;
const FOUR: u32 = 4u;

struct Params { N: u32, K: u32, OC: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dout: array<Quad>;
@group(0) @binding(2) var<storage, read> x: array<Quad>;

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let row = (wid.y * WY + lid.y) * TM;
    let col4 = (wid.x * WX + lid.x) * TN4;
    let k4 = p.K / 4u;
    if row >= p.OC || col4 >= k4 { return; }
    let s4 = p.STRIDE / 4u;
    var dcol: array<u32, TM4>;
    var xcol: array<u32, TN4>;
    for (var i = 0u; i < TM4; i++) { // unroll
        dcol[i] = min((p.COL + row) / 4u + i, s4 - 1u);
    }
    for (var j = 0u; j < TN4; j++) { // unroll
        xcol[j] = min(col4 + j, k4 - 1u);
    }
    var acc: array<vec4<f32>, SUMS>;
    for (var n = 0u; n < p.N; n += 4u) {
        var xs: array<vec4<f32>, XS>; // xs[4*j+r]: row n+r
        for (var r = 0u; r < FOUR; r++) { // unroll
            for (var j = 0u; j < TN4; j++) { // unroll
                xs[j * 4u + r] = unpack4(x[min(n + r, p.N - 1u) * k4 + xcol[j]]);
            }
        }
        for (var i = 0u; i < TM4; i++) { // unroll
            // rows past the end count zero; d* hold row n+* of 4 neighbouring o
            let d0 = unpack4(dout[n * s4 + dcol[i]]);
            let d1 = select(vec4<f32>(0.0), unpack4(dout[min(n + 1u, p.N - 1u) * s4 + dcol[i]]), n + 1u < p.N);
            let d2 = select(vec4<f32>(0.0), unpack4(dout[min(n + 2u, p.N - 1u) * s4 + dcol[i]]), n + 2u < p.N);
            let d3 = select(vec4<f32>(0.0), unpack4(dout[min(n + 3u, p.N - 1u) * s4 + dcol[i]]), n + 3u < p.N);
            for (var j = 0u; j < TN4; j++) { // unroll
                acc[i * XS + j] = fma(vec4<f32>(d3.x), xs[j * 4u + 3u], fma(vec4<f32>(d2.x), xs[j * 4u + 2u],
                    fma(vec4<f32>(d1.x), xs[j * 4u + 1u], fma(vec4<f32>(d0.x), xs[j * 4u], acc[i * XS + j]))));
                acc[i * XS + TN4 + j] = fma(vec4<f32>(d3.y), xs[j * 4u + 3u], fma(vec4<f32>(d2.y), xs[j * 4u + 2u],
                    fma(vec4<f32>(d1.y), xs[j * 4u + 1u], fma(vec4<f32>(d0.y), xs[j * 4u], acc[i * XS + TN4 + j]))));
                acc[i * XS + 2u * TN4 + j] = fma(vec4<f32>(d3.z), xs[j * 4u + 3u], fma(vec4<f32>(d2.z), xs[j * 4u + 2u],
                    fma(vec4<f32>(d1.z), xs[j * 4u + 1u], fma(vec4<f32>(d0.z), xs[j * 4u], acc[i * XS + 2u * TN4 + j]))));
                acc[i * XS + 3u * TN4 + j] = fma(vec4<f32>(d3.w), xs[j * 4u + 3u], fma(vec4<f32>(d2.w), xs[j * 4u + 2u],
                    fma(vec4<f32>(d1.w), xs[j * 4u + 1u], fma(vec4<f32>(d0.w), xs[j * 4u], acc[i * XS + 3u * TN4 + j]))));
            }
        }
    }
    for (var i = 0u; i < TM; i++) { // unroll
        if row + i < p.OC {
            for (var j = 0u; j < TN4; j++) { // unroll
                if col4 + j < k4 {
                    epilogue((row + i) * k4 + col4 + j, col4 + j, acc[i * TN4 + j]);
                }
            }
        }
    }
}
