// layernorm_forward: each row to mean 0 and variance 1, then scaled and shifted.
//
//   m = sum_c x[n,c] / C      s = 1 / sqrt(sum_c (x[n,c]-m)^2 / C + 1e-5)
//   out[n,c] = (x[n,c]-m) * s * w[c] + b[c]      mean[n] = m      rstd[n] = s
//
// out: out (N,C)  mean (N)  rstd (N)      in: x (N,C), the residual stream, float32  w (C)  b (C)
// dispatch: ceil(N / ROWS) groups, folded.  C % 4 == 0, C/4 <= WG*PER.
//
// A group computes ROWS rows one after another, a thread PER quads of each, WG apart. They stay in registers. So x is
// read once for both passes over it (the variance from the mean, not from sum x^2, which cancels), and w and b once for
// all rows.
//
// uses: store group_sum

const WG: u32 = 64u; // spec: threads per group
const PER: u32 = 3u; // spec: quads of a row per thread
const ROWS: u32 = 1u; // spec: rows per group
const LANES: u32 = 1u;

alias Sum = f32;

struct Params { N: u32, C: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> b: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let c4 = p.C / 4u;
    let first = (wid.y * nwg.x + wid.x) * ROWS;
    let last = min(first + ROWS, p.N);
    var ws: array<vec4<f32>, PER>;
    var bs: array<vec4<f32>, PER>;
    for (var j = 0u; j < PER; j++) { // unroll
        let q = min(j * WG + li, c4 - 1u);
        ws[j] = w[q];
        bs[j] = b[q];
    }
    for (var n = first; n < last; n++) {
        var xs: array<vec4<f32>, PER>;
        var sum = vec4<f32>(0.0);
        for (var j = 0u; j < PER; j++) { // unroll
            xs[j] = x[n * c4 + min(j * WG + li, c4 - 1u)];
            sum += select(vec4<f32>(0.0), xs[j], j * WG + li < c4);
        }
        let m = group_sum(li, dot(sum, vec4<f32>(1.0))) / f32(p.C);
        var squares = vec4<f32>(0.0);
        for (var j = 0u; j < PER; j++) { // unroll
            xs[j] -= vec4<f32>(m);
            squares += select(vec4<f32>(0.0), xs[j] * xs[j], j * WG + li < c4);
        }
        let s = inverseSqrt(group_sum(li, dot(squares, vec4<f32>(1.0))) / f32(p.C) + 1e-5);
        for (var j = 0u; j < PER; j++) { // unroll
            if j * WG + li < c4 { out[n * c4 + j * WG + li] = pack4(xs[j] * s * ws[j] + bs[j]); }
        }
        if li == 0u {
            mean[n] = m;
            rstd[n] = s;
        }
    }
}
