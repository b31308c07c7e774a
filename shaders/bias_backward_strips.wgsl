// bias_backward_strips: strips of rows summed, for the gradient of a bias; sum_strips adds the strips.
//
//   partial[s,c] = sum of dout[n,c] over n in [s*ROWS, (s+1)*ROWS)
//
// out: partial (S,C)      in: dout (N,C)
// dispatch: ceil(S*C/4 / WG) groups, folded, a thread a strip and quad.  C % 4 == 0.
//
// uses: store

const WG: u32 = 64u; // spec: threads a group

struct Params { N: u32, C: u32, ROWS: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> partial: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dout: array<Quad>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let i = (wid.y * nwg.x + wid.x) * WG + li;
    let c4 = p.C / 4u;
    let first = i / c4 * p.ROWS;
    if first >= p.N { return; }
    var sum = vec4<f32>(0.0);
    for (var n = first; n < min(first + p.ROWS, p.N); n++) {
        sum += unpack4(dout[n * c4 + i % c4]);
    }
    partial[i] = sum;
}
