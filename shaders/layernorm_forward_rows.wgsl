// layernorm_forward_rows: layernorm_forward with a thread a row, for CPUs: no barriers, one load of a row in flight for
// each of eight rows, which stay in the cache for all three passes over them.
//
// out: out (N,C)  mean (N)  rstd (N)      in: x (N,C), the residual stream, float32  w (C)  b (C)
// dispatch: ceil(N / 8) groups, folded.  C % 4 == 0.
//
// uses: store

struct Params { N: u32, C: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> b: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let n = (wid.y * nwg.x + wid.x) * 8u + li;
    if n >= p.N { return; }
    let c4 = p.C / 4u;
    let row = n * c4;
    var sum = vec4<f32>(0.0);
    for (var c = 0u; c < c4; c++) {
        sum += x[row + c];
    }
    let m = dot(sum, vec4<f32>(1.0)) / f32(p.C);
    var squares = vec4<f32>(0.0);
    for (var c = 0u; c < c4; c++) {
        let d = x[row + c] - m;
        squares += d * d;
    }
    let s = inverseSqrt(dot(squares, vec4<f32>(1.0)) / f32(p.C) + 1e-5);
    for (var c = 0u; c < c4; c++) {
        out[row + c] = pack4((x[row + c] - m) * s * w[c] + b[c]);
    }
    mean[n] = m;
    rstd[n] = s;
}
