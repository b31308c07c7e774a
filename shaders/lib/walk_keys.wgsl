// walk_keys: the numbers and the tile of a walk over keys.
struct Params { T: u32, C: u32, NH: u32, SCALE: f32, ROWS: u32, HEAD: u32, BLOCK: u32, KEY: u32 }

@group(0) @binding(0) var<uniform> p: Params;

var<workgroup> keys: array<vec4<f32>, QUADS>;
var<workgroup> values: array<vec4<f32>, QUADS>;

// stage loads KT keys, scaled, and values of the head whose first query begins at quad q0 of qkv.
fn stage(q0: u32, li: u32) {
    let c4 = p.C / 4u;
    for (var i = li; i < QUADS; i += WX) {
        let at = q0 + c4 + min(p.KEY + i / HS4, p.T - 1u) * 3u * c4 + i % HS4;
        keys[i] = unpack4(qkv[at]) * p.SCALE;
        values[i] = unpack4(qkv[at + c4]);
    }
    workgroupBarrier();
}
