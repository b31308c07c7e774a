// attention_forward_walk: a part of attention_forward_direct's walk over the keys, for lavapipe: KT keys for all
// queries that see them. For each query t the maximum m, the sum l of exp(s - m) and the sum of values under m are
// carried in memory. With u in [KEY, KEY+KT):
//
//   m' = max(m, s[t,u])
//   l' = l exp(m-m') + sum_u exp(s[t,u]-m')
//   acc' = acc exp(m-m') + sum_u exp(s[t,u]-m') v[u]
//
// scratch: state (heads, HS/4, ROWS) quads, acc  ml (heads, ROWS) of m and l; the FIRST dispatch makes both
// in: qkv (N,3C)
// dispatch: x: blocks of WX queries from BLOCK on, of which the first holds KEY, y: heads from HEAD on.
// ROWS % WX == 0, ROWS >= T.
//
// As in matmul_panels nothing is in a loop or a branch, so that keys and values are operands from workgroup memory.
// attention_forward_walk_finish makes out and lse of the last state.
//
// uses: store walk_sums walk_keys

const HS: u32 = 64u; // spec: channels a head
const WX: u32 = 128u; // spec: threads, a query each
const FIRST: bool = true; // spec: no state yet
const KT: u32 = 32u; // spec: keys per dispatch
const HS4: u32 = HS / 4u;
const QUADS: u32 = KT * HS4;

@group(0) @binding(1) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> ml: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> qkv: array<Quad>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let head = p.HEAD + wid.y;
    let c4 = p.C / 4u;
    let q0 = head / p.NH * p.T * 3u * c4 + head % p.NH * HS4;
    stage(q0, lid.x);
    let t = (p.BLOCK + wid.x) * WX + lid.x;
    let row = q0 + min(t, p.T - 1u) * 3u * c4;
    var s: array<f32, KT>;
    for (var c = 0u; c < HS4; c++) { // unroll
        add_scores(c, unpack4(qkv[row + c]), &s);
    }
    var older = vec2<f32>(-3.0e38, 0.0);
    if !FIRST {
        older = ml[wid.y * p.ROWS + t];
    }
    var m = older.x;
    for (var k = 0u; k < KT; k++) { // unroll
        m = max(m, select(-3.0e38, s[k], p.KEY + k <= t));
    }
    let shrink = exp(older.x - m);
    var l = older.y * shrink;
    for (var k = 0u; k < KT; k++) { // unroll
        s[k] = select(0.0, exp(s[k] - m), p.KEY + k <= t);
        l += s[k];
    }
    for (var c = 0u; c < HS4; c++) { // unroll
        let at = (wid.y * HS4 + c) * p.ROWS + t;
        var acc = vec4<f32>();
        if !FIRST {
            acc = state[at] * shrink;
        }
        state[at] = add_values(c, &s, acc);
    }
    ml[wid.y * p.ROWS + t] = vec2<f32>(m, l);
}
