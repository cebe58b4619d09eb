//! What makes two declarations the same check, and what a changed one waits for.

use std::sync::mpsc;

use super::*;

fn named(declared: Declared) -> Vec<(String, Declared)> {
    vec![("db".to_owned(), declared)]
}

#[tokio::test(start_paused = true)]
async fn a_check_is_the_same_by_its_revision_and_by_all_that_it_is() {
    let db = Dependency::that_says(Says::Yes);
    let hour = || every(SECOND * 3600);
    let one = || db.check(hour()).revision([1; 32]);
    let health = builder().0.check("db", one()).build().unwrap();
    until(|| db.asked().len() == 1).await;
    let asked_anew = async |declared: Declared| {
        let before = db.asked().len();
        health.set_checks(named(declared)).unwrap();
        sleep(SECOND).await;
        db.asked().len() > before
    };
    assert!(!asked_anew(one()).await, "another object of the same revision");
    assert!(asked_anew(db.check(hour()).revision([2; 32])).await, "a rotated secret");
    let relabelled = || db.check(hour().label("team", "payments")).revision([2; 32]);
    assert!(asked_anew(relabelled()).await, "another label");
    assert!(!asked_anew(relabelled()).await);
    let slower = db.check(hour().label("team", "payments").timeout(SECOND)).revision([2; 32]);
    assert!(asked_anew(slower).await, "another default");
}

#[test]
fn a_changed_check_starts_once_the_old_run_is_gone_though_it_blocks() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let (release, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let entered = Arc::new(AtomicUsize::new(0));
    let blocking = {
        let entered = Arc::clone(&entered);
        every(SECOND * 3600).from_fn(move || {
            let (entered, gate) = (entered.clone(), gate.clone());
            async move {
                entered.store(1, Ordering::SeqCst);
                let _ = gate.lock().unwrap().recv();
                Ok::<_, Failure>(())
            }
        })
    };
    let db = Dependency::that_says(Says::Yes);
    let other = Dependency::that_says(Says::Yes);
    runtime.block_on(async {
        let health = builder().0.check("db", blocking).build().unwrap();
        until(|| entered.load(Ordering::SeqCst) == 1).await;
        let mut plan = named(db.check(every(SECOND * 3600)));
        plan.push(("other".to_owned(), other.check(every(millis(50)))));
        health.set_checks(plan).unwrap();
        until(|| other.asked().len() >= 5).await;
        assert_eq!(db.asked().len(), 0, "two runs of a check never overlap");
        drop(release);
        until(|| db.asked().len() == 1).await;
    });
    runtime.shutdown_background();
}
