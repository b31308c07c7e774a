// layernorm_backward: the gradient of x, and strips of those of w and b.
//
//   xhat = (x-mean)*rstd      g = dout*w      (one row; the reference derives the formula)
//   dx[n,c] += rstd * (g[c] - sum_i g[i] / C - xhat[c] * sum_i g[i]*xhat[i] / C)
//   partial[s,c] = sum of dout*xhat, partial[s,C+c] = sum of dout, over the rows of strip s
//
// out: dstream (N,C), dx above: the residual stream's gradient, accumulated  partial (S,2C), summed by sum_strips
// in: dout (N,C)  x (N,C)  w (C)  mean (N)  rstd (N)
// dispatch: S groups, folded; group s sums rows [s*ROWS, (s+1)*ROWS).  C % 4 == 0, C/4 <= WG*PER.
//
// As layernorm_forward: a thread keeps PER quads of the row, of w and of the strip's two sums in registers.
//
// uses: store group_sum

const WG: u32 = 64u; // spec: threads per group
const PER: u32 = 3u; // spec: quads of a row per thread
const LANES: u32 = 1u;

alias Sum = vec2<f32>;

struct Params { N: u32, C: u32, ROWS: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dstream: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partial: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dout: array<Quad>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> mean: array<f32>;
@group(0) @binding(7) var<storage, read> rstd: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let c4 = p.C / 4u;
    let strip = wid.y * nwg.x + wid.x;
    let first = strip * p.ROWS;
    let last = min(first + p.ROWS, p.N);
    if first >= last { return; } // a group left over by folding, all of it
    var ws: array<vec4<f32>, PER>;
    var dw: array<vec4<f32>, PER>;
    var db: array<vec4<f32>, PER>;
    for (var j = 0u; j < PER; j++) { // unroll
        // past the row's end w is 0, so nothing there reaches the sums
        ws[j] = select(vec4<f32>(0.0), w[min(j * WG + li, c4 - 1u)], j * WG + li < c4);
        dw[j] = vec4<f32>(0.0);
        db[j] = vec4<f32>(0.0);
    }
    for (var n = first; n < last; n++) {
        let m = mean[n];
        let s = rstd[n];
        var xhat: array<vec4<f32>, PER>;
        var g: array<vec4<f32>, PER>;
        var sum0 = vec4<f32>(0.0);
        var sum1 = vec4<f32>(0.0);
        for (var j = 0u; j < PER; j++) { // unroll
            let at = n * c4 + min(j * WG + li, c4 - 1u);
            let d = unpack4(dout[at]);
            xhat[j] = (x[at] - vec4<f32>(m)) * s;
            g[j] = d * ws[j];
            dw[j] += d * xhat[j];
            db[j] += d;
            sum0 += g[j];
            sum1 += g[j] * xhat[j];
        }
        let sums = group_sum(li, vec2<f32>(dot(sum0, vec4<f32>(1.0)), dot(sum1, vec4<f32>(1.0)))) / f32(p.C);
        for (var j = 0u; j < PER; j++) { // unroll
            let at = n * c4 + j * WG + li;
            if j * WG + li < c4 { dstream[at] = dstream[at] + s * (g[j] - vec4<f32>(sums.x) - xhat[j] * sums.y); }
        }
    }
    for (var j = 0u; j < PER; j++) { // unroll
        if j * WG + li < c4 {
            partial[strip * 2u * c4 + j * WG + li] = dw[j];
            partial[strip * 2u * c4 + c4 + j * WG + li] = db[j];
        }
    }
}
