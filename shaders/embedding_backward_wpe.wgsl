// embedding_backward_wpe: the gradient of the position vectors.
//
//   dwpe[t,c] += sum of dout[n,c] over n = t, t+T, t+2T, … < N
//
// out: dwpe (>=T,C)      in: dout (N,C)
// dispatch: ceil(T*C/4 / WG) groups, folded, a thread a quad.  C % 4 == 0.
//
// uses:

const WG: u32 = 64u; // spec: threads a group

struct Params { N: u32, C: u32, T: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dwpe: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dout: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let i = (wid.y * nwg.x + wid.x) * WG + li;
    let c4 = p.C / 4u;
    let t = i / c4;
    if t >= p.T { return; }
    var sum = vec4<f32>(0.0);
    for (var n = t; n < p.N; n += p.T) {
        sum += dout[n * c4 + i % c4];
    }
    dwpe[i] = dwpe[i] + sum;
}
