//! The choice among the candidates of a name: a few draws in large groups, one pass over all otherwise.

use mpreg_types::{FunctionVersion, Wanted};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::named::{Group, Member, Named};
use crate::standing::{Asked, Class};

/// Groups up to this size are looked at wholly: a pass is as fast as draws.
const PASS_MAX: usize = 8;
/// Draws before a pass over all. With half of the candidates usable, one search in 500 needs the pass.
const DRAWS_MAX: usize = 16;

/// Chooses by the whole rule, or finds nobody. `sources` are the names that can hold what is asked.
pub(crate) fn pick<'a>(asked: &Asked<'_>, sources: &[Option<&'a Named>]) -> Option<&'a Member> {
    let mut chance = Chance(asked.context.random);
    if let ([Some(named), None], Wanted::Name(_), None) =
        (sources, &asked.selector.function, asked.selector.sticky)
        && let Some(member) = draw(asked, named, &mut chance)
    {
        return Some(member);
    }
    let mut best = Best::new(asked, chance);
    for named in sources.iter().flatten() {
        for group in &named.groups {
            if best.may_gain_from(group) && asked.selector.version.matches(&group.version) {
                group
                    .members
                    .iter()
                    .filter(|member| asked.means(member))
                    .for_each(|member| best.consider(member));
            }
        }
    }
    best.choose()
}

/// Looks for members of the best class in the highest version that fits. One found proves that the choice is among
/// them; each is equally likely, because those drawn in vain are drawn again.
fn draw<'a>(asked: &Asked<'_>, named: &'a Named, chance: &mut Chance) -> Option<&'a Member> {
    let group = named.groups.iter().find(|group| asked.selector.version.matches(&group.version))?;
    let is_best =
        |member: &Member| asked.standing(member) == Ok(Class::BEST) && member.candidate.peer.is_at_hand();
    if let Some(own) = group.own.filter(|_| asked.context.own_call) {
        let own = &group.members[own];
        if is_preferred(own) && is_best(own) {
            return Some(own);
        }
    }
    if group.members.len() <= PASS_MAX {
        return None;
    }
    let mut first: Option<(usize, &Member)> = None;
    for _ in 0..DRAWS_MAX {
        let at = chance.below(group.members.len());
        let member = &group.members[at];
        match first {
            Some((former, _)) if former == at => {}
            _ if !is_best(member) => {}
            None => first = Some((at, member)),
            Some((_, former)) => return Some(better(asked, former, member)),
        }
    }
    None
}

/// True for an own function that can start at once.
fn is_preferred(member: &Member) -> bool {
    member.candidate.local.as_ref().is_some_and(|local| local.slots.has_free())
}

/// The less loaded or nearer one; the first if they are equal.
fn better<'a>(asked: &Asked<'_>, first: &'a Member, second: &'a Member) -> &'a Member {
    let beats = second.candidate.peer.is_better_than(&first.candidate.peer, asked.context.now);
    if beats { second } else { first }
}

/// What a pass has found so far.
struct Best<'q, 'a> {
    asked: &'q Asked<'q>,
    chance: Chance,
    class: Class,
    version: Option<&'a FunctionVersion>,
    /// Those of the best that a call can go to at once are taken first; a sticky call goes where it belongs.
    at_hand: bool,
    /// Two of the best, each pair equally likely (reservoir sampling; Vitter, ACM TOMS 1985).
    drawn: [Option<&'a Member>; 2],
    seen: usize,
    own: Option<&'a Member>,
    /// The highest rendezvous weight.
    sticky: Option<(u64, &'a Member)>,
}

impl<'q, 'a> Best<'q, 'a> {
    fn new(asked: &'q Asked<'q>, chance: Chance) -> Self {
        Self {
            asked,
            chance,
            class: Class::BEST,
            version: None,
            at_hand: false,
            drawn: [None; 2],
            seen: 0,
            own: None,
            sticky: None,
        }
    }

    /// False if whatever is in `group` is worse than what was found.
    fn may_gain_from(&self, group: &Group) -> bool {
        self.class > Class::BEST || self.version.is_none_or(|version| group.version >= *version)
    }

    fn consider(&mut self, member: &'a Member) {
        let Ok(class) = self.asked.standing(member) else { return };
        let version = &member.candidate.version;
        let at_hand = self.asked.selector.sticky.is_some() || member.candidate.peer.is_at_hand();
        if let Some(best) = self.version {
            let order = self.class.cmp(&class).then(version.cmp(best)).then(at_hand.cmp(&self.at_hand));
            if order.is_lt() {
                return;
            }
        }
        if (class, Some(version), at_hand) != (self.class, self.version, self.at_hand) {
            *self = Self { class, version: Some(version), at_hand, ..Self::new(self.asked, self.chance) };
        }
        self.add(member);
    }

    fn add(&mut self, member: &'a Member) {
        if let Some(value) = self.asked.selector.sticky {
            let weight = xxh3_64_with_seed(member.candidate.node().as_bytes(), value);
            if self.sticky.is_none_or(|(highest, _)| weight > highest) {
                self.sticky = Some((weight, member));
            }
        }
        if self.asked.context.own_call && is_preferred(member) {
            self.own = Some(member);
        }
        let at = if self.seen < 2 { self.seen } else { self.chance.below(self.seen + 1) };
        if let Some(slot) = self.drawn.get_mut(at) {
            *slot = Some(member);
        }
        self.seen += 1;
    }

    fn choose(mut self) -> Option<&'a Member> {
        if let Some((_, member)) = self.sticky {
            return Some(member);
        }
        match (self.own, self.drawn) {
            (Some(own), _) => Some(own),
            (None, [Some(a), Some(b)]) => {
                // The order decides when both are equal, so it is random too.
                let (first, second) = if self.chance.below(2) == 0 { (a, b) } else { (b, a) };
                Some(better(self.asked, first, second))
            }
            (None, [only, _]) => only,
        }
    }
}

/// Random numbers from one (`SplitMix64`; Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Copy)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..bound`.
    fn below(&mut self, bound: usize) -> usize {
        // The upper half of the product is below `bound`, so it fits.
        let product = u128::from(self.next()) * bound as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }
}
