// attention_backward_dkv_walk: a part of the values' (VALUES) or the keys' gradient, for lavapipe: what QT queries add
// for all keys that they see. With p[t,u] = exp(s[t,u] - lse[t]), t in [QUERY, QUERY+QT), t >= u:
//
//   dv[u] += sum_t p[t,u] * dout[t]
//   dk[u] += sum_t p[t,u] * (sum_i dout[t,i] * v[u,i] - d[t]) * q[t] / sqrt(HS)
//
// scratch: state (heads, HS/4, ROWS) quads, dv or dk, zeros before the first dispatch
// in: qkv (N,3C)  dout (N,C)  lse, d (B,NH,T)
// dispatch: x: blocks of WX keys from 0 on, of which the last sees the last query, y: heads from HEAD on.
// ROWS % WX == 0, ROWS >= T.
//
// As attention_forward_walk, with keys for queries. One kernel for both gradients would carry twice the state for the
// same products. attention_backward_walk_store copies the state to dqkv.
//
// uses: store walk_sums walk_gradients

const HS: u32 = 64u; // spec: channels a head
const WX: u32 = 128u; // spec: threads, a key each
const VALUES: bool = true; // spec: dv, else dk
const QT: u32 = 32u; // spec: queries per dispatch
const KT: u32 = QT; // of walk_sums
const HS4: u32 = HS / 4u;
const QUADS: u32 = QT * HS4;

struct Params { T: u32, C: u32, NH: u32, SCALE: f32, ROWS: u32, HEAD: u32, QUERY: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> qkv: array<Quad>;
@group(0) @binding(3) var<storage, read> dout: array<Quad>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> d: array<f32>;

var<workgroup> keys: array<vec4<f32>, QUADS>; // the queries, which take the keys' part
var<workgroup> values: array<vec4<f32>, QUADS>; // the gradients of out
var<workgroup> stats: array<vec2<f32>, QT>; // lse and d

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let head = p.HEAD + wid.y;
    let c4 = p.C / 4u;
    let q0 = head / p.NH * p.T * 3u * c4 + head % p.NH * HS4;
    let g0 = head / p.NH * p.T * c4 + head % p.NH * HS4;
    for (var i = lid.x; i < QUADS; i += WX) {
        let t = min(p.QUERY + i / HS4, p.T - 1u);
        keys[i] = unpack4(qkv[q0 + t * 3u * c4 + i % HS4]) * p.SCALE;
        values[i] = unpack4(dout[g0 + t * c4 + i % HS4]);
    }
    for (var i = lid.x; i < QT; i += WX) {
        let t = head * p.T + min(p.QUERY + i, p.T - 1u);
        stats[i] = vec2<f32>(lse[t], d[t]);
    }
    workgroupBarrier();
    let u = wid.x * WX + lid.x;
    let row = q0 + min(u, p.T - 1u) * 3u * c4 + c4;
    var s: array<f32, QT>;
    for (var c = 0u; c < HS4; c++) { // unroll
        add_scores(c, unpack4(qkv[row + c]), &s);
    }
    for (var t = 0u; t < QT; t++) { // unroll
        s[t] = select(0.0, exp(min(s[t] - stats[t].x, 0.0)), u <= p.QUERY + t && p.QUERY + t < p.T);
    }
    if !VALUES {
        var dp: array<f32, QT>;
        for (var c = 0u; c < HS4; c++) { // unroll
            add_dp(c, unpack4(qkv[row + c4 + c]), &dp);
        }
        for (var t = 0u; t < QT; t++) { // unroll
            s[t] = s[t] * (dp[t] - stats[t].y);
        }
    }
    for (var c = 0u; c < HS4; c++) { // unroll
        let at = (wid.y * HS4 + c) * p.ROWS + u;
        if VALUES {
            state[at] = add_values(c, &s, state[at]);
        } else {
            state[at] = add_keys(c, &s, state[at]);
        }
    }
}
