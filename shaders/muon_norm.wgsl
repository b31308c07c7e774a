// muon_norm: what brings each matrix of a stack to the norm 1.
//
//   scale[z] = 1 / (|u[z]| + 1e-7)      |u| = sqrt(sum of u^2), Frobenius' norm
//
// out: scale (matrices)      in: u (matrices, SLOT quads), of which COUNT count
// dispatch: a group for each matrix.
//
// Each thread adds up sums of eight quads, the group by a tree: so the rounding error grows with an eighth of a
// thread's quads.
//
// uses: group_sum

const WG: u32 = 64u; // spec: threads a group
const EIGHT: u32 = 8u;
const LANES: u32 = 1u;

alias Sum = f32;

struct Params { COUNT: u32, SLOT: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> scale: array<f32>;
@group(0) @binding(2) var<storage, read> u: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let base = wid.x * p.SLOT;
    var total = 0.0;
    for (var at = li; at < p.COUNT; at += WG * EIGHT) {
        var sum = vec4<f32>(0.0);
        for (var j = 0u; j < EIGHT; j++) { // unroll
            let v = select(vec4<f32>(0.0), u[base + min(at + j * WG, p.COUNT - 1u)], at + j * WG < p.COUNT);
            sum = fma(v, v, sum);
        }
        total += dot(sum, vec4<f32>(1.0));
    }
    let squares = group_sum(li, total);
    if li == 0u { scale[wid.x] = 1.0 / (sqrt(squares) + 1e-7); }
}
