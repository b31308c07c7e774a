// sum_strips: the end of a reduction over rows, whose strips other kernels have summed (layernorm_backward,
// bias_backward_strips, and matmul_tiled where it splits sums).
//
//   out[c] = sum_s partial[s,COL+c], with ADD plus out[c]
//
// out: out (C)      in: partial (S,STRIDE)
// dispatch: ceil(C/4 / LANES) groups.  C, COL, STRIDE % 4 == 0.
//
// LANES threads lie side by side on the quads of a row; the WG/LANES rows of threads take every (WG/LANES)th strip, and
// a tree adds them.
//
// uses: group_sum

const WG: u32 = 64u; // spec: threads a group
const LANES: u32 = 8u; // spec: quads a group
const ADD: bool = true; // spec: add to out

alias Sum = vec4<f32>;

struct Params { S: u32, C: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> partial: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let q = (wid.y * nwg.x + wid.x) * LANES + li % LANES;
    let c4 = p.C / 4u;
    var sum = vec4<f32>(0.0);
    for (var s = li / LANES; s < p.S; s += WG / LANES) {
        sum += partial[(s * p.STRIDE + p.COL) / 4u + min(q, c4 - 1u)];
    }
    let total = group_sum(li, sum);
    if li < LANES && q < c4 {
        if ADD { out[q] = out[q] + total; } else { out[q] = total; }
    }
}
