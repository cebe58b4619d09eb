use super::samples::*;
use super::*;
use crate::model::*;
use crate::history::*;
use super::past::Kept;

fn name(at: usize) -> (&'static str, &'static str) {
    [("orders-db","orders, primary"),("orders-db-replica",""),("cache",""),("payments","Card payments, third party"),("search",""),("mail-relay",""),("checkout-api",""),("session-store",""),("object-storage","Invoices and pictures"),("vpn","")][at]
}

#[test]
fn dump() {
    let Ok(dir) = std::env::var("PAGE_OUT") else { return };
    let dir = std::path::Path::new(&dir);
    std::fs::create_dir_all(dir.join("checks")).unwrap();
    for (file, bad) in [("up.html", false), ("down.html", true)] {
        let names: Vec<String> = (0..10).map(|a| name(a).0.to_owned()).collect();
        let mut checks: Vec<_> = (0..10).map(|at| {
            let s = match at { 2 if bad => Status::Down, 5 if bad => Status::Degraded, 8 if bad => Status::Unknown, _ => Status::Up };
            let mut c = check(name(at).0, s);
            let mut i = (*c.info).clone();
            if !name(at).1.is_empty() { i.description = Some(name(at).1.into()) }
            if at == 3 { i.gates = Gates::NONE; i.kind = "http"; }
            if at == 2 { i.kind = "redis" }
            c.info = Arc::new(i);
            if let Some(r) = &c.last_run { let mut r = (**r).clone(); if r.message.is_some() { r.message = Some("connect to 127.0.0.1:6379: connection refused".into()) } c.last_run = Some(Arc::new(r)); }
            if at == 9 && bad { c.maintenance = true }
            c
        }).collect();
        checks.sort_by(|a,b| a.info.name.cmp(&b.info.name));
        let snap = snapshot(if bad {ServiceStatus::Down} else {ServiceStatus::Up}, checks);
        let past = past(&names);
        let trace = |id: &str| Some(format!("https://traces.test/{id}"));
        let now = SystemTime::now();
        let cx = Cx { now, details: true, base: "./", hour: &hour, trace: &trace };
        std::fs::write(dir.join(file), Overview::new(&snap, &past, 1, &cx).render().unwrap()).unwrap();
        let cx = Cx { base: "../", ..cx };
        let steps: Vec<Step> = (0..96u64).map(|at| { let p = 4000 + (at * 7919 % 1300) + if (60..64).contains(&at) {9000} else {0}; let d = Duration::from_micros; let none = (30..34).contains(&at);
            Step { at: now - Duration::from_secs(900*(96-at)), runs: if none {0} else {90}, good: 90, share: Share{good:if at==61 {70} else {90},counted:if none {0} else {90}}, p50: (!none).then_some(d(p)), p95: (!none).then_some(d(p*2)), max: (!none).then_some(d(p*5)), worst: if none {Some(Status::Unknown)} else if (60..63).contains(&at) { Some(Status::Down) } else { Some(Status::Up) } } }).collect();
        let cp = CheckPast { days: past.days.clone(), incidents: past.incidents.clone(), steps: Kept::Known(steps), availability: Some(Availability { hour: Share{good:360,counted:360}, day: Share{good:8630,counted:8640}, week: Share{good:60470,counted:60480}, month: Share{good:259_100,counted:259_200} }) };
        let v = snap.checks.iter().find(|c| &*c.info.name == "cache").unwrap();
        std::fs::write(dir.join("checks").join(file), CheckPage::new(v, &snap.service, &cp, Range::named(None), &cx).render().unwrap()).unwrap();
    }
    std::fs::write(dir.join("assets.txt"), format!("{}\n{}", assets::style().name, assets::script().name)).unwrap();
    let names: Vec<String> = (0..100).map(|a| format!("check-{a}")).collect();
    let snap = snapshot(ServiceStatus::Up, names.iter().map(|n| check(n, Status::Up)).collect());
    let p = past(&names);
    let cx = Cx { now: SystemTime::now(), details: true, base: "./", hour: &hour, trace: &|_| None };
    let t = tokio::time::Instant::now();
    let b = Body::new(Overview::new(&snap, &p, 1, &cx).render().unwrap());
    println!("100 checks: {:?} {:?}", t.elapsed(), b.sizes());
}
