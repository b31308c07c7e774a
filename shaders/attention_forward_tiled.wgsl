// attention_forward_tiled: causal self-attention in flash form, for GPUs. For one batch row and head:
//
//   s[t,u] = sum_i q[t,i] * k[u,i] / sqrt(HS)    u <= t
//   lse[t] = log(sum_u exp(s[t,u]))
//   out[t,i] = sum_u exp(s[t,u] - lse[t]) * v[u,i]
//
// out: out (N,C)  lse (B,NH,T)      in: qkv (N,3C), rows of a query, a key and a value, C channels each, head after
// head
// dispatch: x: ceil(T / ROWS) groups, y: B*NH.  HS = C/NH, a multiple of 4; WX a multiple of 4; BK a multiple of 4.
//
// Four neighbouring threads share TQ queries: each holds a quarter of their channels (every fourth quad, so that the
// four read 64 neighbouring bytes) and sums its quarter of the scores of four keys; the quarters meet in workgroup
// memory. So a quad of a key or value that is read from workgroup memory serves 4*TQ multiply-adds, with 2*TQ*HS/4 sums
// and queries in registers. The maximum m and the sum l run along as in attention_forward_direct. Two sides of part,
// used in turn, save a barrier.
//
// uses: store

const HS: u32 = 64u; // spec: channels a head
const TQ: u32 = 4u; // spec: queries of four threads
const BK: u32 = 16u; // spec: keys a tile
const WX: u32 = 64u; // spec: threads
const ROWS: u32 = WX / 4u * TQ;
const HS4: u32 = HS / 4u;
const OWN: u32 = (HS4 + 3u) / 4u; // quads of a row that a thread holds
const LINE: u32 = OWN * 4u; // quads of a row in a tile, zeros past HS4
const TILE: u32 = BK * LINE;
const QUADS: u32 = TQ * OWN;
const SIDE: u32 = TQ * WX;
const SIDES: u32 = SIDE * 2u;

struct Params { T: u32, C: u32, NH: u32, SCALE: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read> qkv: array<Quad>;

var<workgroup> ks: array<vec4<f32>, TILE>;
var<workgroup> vs: array<vec4<f32>, TILE>;
var<workgroup> part: array<vec4<f32>, SIDES>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let first = (nwg.x - 1u - wid.x) * ROWS;
    let end = min(first + ROWS, p.T); // the group's keys
    let row = first + li / 4u * TQ;
    let quarter = li % 4u;
    let batch = wid.y / p.NH * p.T;
    let c4 = p.C / 4u;
    let q0 = batch * 3u * c4 + wid.y % p.NH * HS4;
    let k0 = q0 + c4;
    var q: array<vec4<f32>, QUADS>;
    for (var i = 0u; i < TQ; i++) { // unroll
        for (var c = 0u; c < OWN; c++) { // unroll
            let quad = c * 4u + quarter;
            let v = unpack4(qkv[q0 + min(row + i, p.T - 1u) * 3u * c4 + min(quad, HS4 - 1u)]) * p.SCALE;
            q[i * OWN + c] = select(vec4<f32>(0.0), v, quad < HS4);
        }
    }
    var o: array<vec4<f32>, QUADS>;
    var m: array<f32, TQ>;
    var l: array<f32, TQ>;
    for (var i = 0u; i < TQ; i++) { // unroll
        m[i] = -1e30;
    }
    for (var start = 0u; start < end; start += BK) {
        workgroupBarrier();
        for (var f = li; f < TILE; f += WX) {
            let c = f % LINE;
            let at = k0 + min(start + f / LINE, p.T - 1u) * 3u * c4 + min(c, HS4 - 1u);
            ks[f] = select(vec4<f32>(0.0), unpack4(qkv[at]), c < HS4);
            vs[f] = select(vec4<f32>(0.0), unpack4(qkv[at + c4]), c < HS4);
        }
        workgroupBarrier();
        for (var j = 0u; j < BK; j += 4u) {
            let side = j / 4u % 2u * SIDE;
            let line = j * LINE + quarter;
            var s = array<vec4<f32>, TQ>(); // of four keys; naga 0.19 zeroes a plain declaration once, not each turn
            for (var c = 0u; c < OWN; c++) { // unroll
                let a0 = ks[line + c * 4u];
                let a1 = ks[line + c * 4u + LINE];
                let a2 = ks[line + c * 4u + 2u * LINE];
                let a3 = ks[line + c * 4u + 3u * LINE];
                for (var i = 0u; i < TQ; i++) { // unroll
                    s[i] += vec4<f32>(dot(q[i * OWN + c], a0), dot(q[i * OWN + c], a1),
                        dot(q[i * OWN + c], a2), dot(q[i * OWN + c], a3));
                }
            }
            for (var i = 0u; i < TQ; i++) { // unroll
                part[side + i * WX + li] = s[i];
            }
            workgroupBarrier();
            var older: array<f32, TQ>;
            for (var i = 0u; i < TQ; i++) { // unroll
                let at = side + i * WX + li - quarter;
                let u = vec4<u32>(start + j) + vec4<u32>(0u, 1u, 2u, 3u);
                let sum = select(vec4<f32>(-1e30), part[at] + part[at + 1u] + part[at + 2u] + part[at + 3u],
                    u <= vec4<u32>(row + i));
                let top = max(m[i], max(max(sum.x, sum.y), max(sum.z, sum.w)));
                older[i] = exp(m[i] - top);
                m[i] = top;
                s[i] = exp(sum - top);
                l[i] = l[i] * older[i] + (s[i].x + s[i].y + s[i].z + s[i].w);
            }
            for (var c = 0u; c < OWN; c++) { // unroll
                let a0 = vs[line + c * 4u];
                let a1 = vs[line + c * 4u + LINE];
                let a2 = vs[line + c * 4u + 2u * LINE];
                let a3 = vs[line + c * 4u + 3u * LINE];
                for (var i = 0u; i < TQ; i++) { // unroll
                    o[i * OWN + c] = fma(vec4<f32>(s[i].w), a3, fma(vec4<f32>(s[i].z), a2,
                        fma(vec4<f32>(s[i].y), a1, fma(vec4<f32>(s[i].x), a0, o[i * OWN + c] * older[i]))));
                }
            }
        }
    }
    for (var i = 0u; i < TQ; i++) { // unroll
        if row + i < p.T {
            if quarter == 0u { lse[wid.y * p.T + row + i] = m[i] + log(l[i]); }
            for (var c = 0u; c < OWN; c++) { // unroll
                let quad = c * 4u + quarter;
                if quad < HS4 {
                    out[(batch + row + i) * c4 + wid.y % p.NH * HS4 + quad] = pack4(o[i * OWN + c] / l[i]);
                }
            }
        }
    }
}
