//! Logins by keys and by credentials files.

use vitalsign::{Detail, Reason};

use super::{asked, failed};
use crate::support::broker::Broker;
use crate::support::certs::file;
use crate::support::checks::errors;

/// The public key of a user, and its seed.
const PUBLIC: &str = "UACDCEGWO7GHTZNBQBGIBPOXF26HSA6EEPJW2LKSKTERDAESKYRAP2ND";
const SEED: &str = "SUABBEIUPF3YSW2QO7E7TWWCZNJYWMITI5R3LA7DMP2DXNSEM7MDK7D2IY";

/// An operator, an account and a user of it, who vouch for each other by JWTs that do not expire.
const OPERATOR: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJpYXQiOjE3MDAwMDAwMDAsImlzcyI6Ik9CM0hKVkJSVlc1U0JSVEpPQ0NWUVFHTVdaM05MS1hESlNCSE43NTdWRjdIT1dBRURZU1FJUFZaIiwibmFtZSI6InRlc3RzIiwic3ViIjoiT0IzSEpWQlJWVzVTQlJUSk9DQ1ZRUUdNV1ozTkxLWERKU0JITjc1N1ZGN0hPV0FFRFlTUUlQVloiLCJuYXRzIjp7InR5cGUiOiJvcGVyYXRvciIsInZlcnNpb24iOjJ9LCJqdGkiOiJUWTVCR0dMR0FCNzZYWkdIQzVQVERZNlYzS0ZDQUZQUFlaRUwzSUE1QVM3VVU3TkFUM1RRIn0.0r7uS7vy6TBOfQ5nluXnbq2YU6mTd0-R8A2j6jeGeBzQ8vzw7lDsgIpr07cSjqnqftjCLhqjtkppYZlfp50HBQ";
const ACCOUNT: &str = "ACS4GIAA3TVDZAOF2ZWZBH4FMFVAQB4O2QYSAVRHWYQMJJ3W7EF3W3Q5";
const ACCOUNT_JWT: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJpYXQiOjE3MDAwMDAwMDAsImlzcyI6Ik9CM0hKVkJSVlc1U0JSVEpPQ0NWUVFHTVdaM05MS1hESlNCSE43NTdWRjdIT1dBRURZU1FJUFZaIiwibmFtZSI6ImFwcCIsInN1YiI6IkFDUzRHSUFBM1RWRFpBT0YyWldaQkg0Rk1GVkFRQjRPMlFZU0FWUkhXWVFNSkozVzdFRjNXM1E1IiwibmF0cyI6eyJsaW1pdHMiOnsic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb2FkIjotMSwiaW1wb3J0cyI6LTEsImV4cG9ydHMiOi0xLCJ3aWxkY2FyZHMiOnRydWUsImNvbm4iOi0xLCJsZWFmIjotMX0sImRlZmF1bHRfcGVybWlzc2lvbnMiOnsicHViIjp7fSwic3ViIjp7fX0sInR5cGUiOiJhY2NvdW50IiwidmVyc2lvbiI6Mn0sImp0aSI6IjZGSVhKSElVSUlMN0lXRVBKWDY1Q0gyRDJSU1E0U0c0T0pTVEpRVzIzUzVQUTI1Q0NHVEEifQ.eoMo3lLMODmLVwWz4bh64BvrlZhPT8tJG_L0Thl0hbHkEn4_C7AH1hMm6ySiRR3rL82b2UWfwnNSBdqopZ9eAQ";
const USER_JWT: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJpYXQiOjE3MDAwMDAwMDAsImlzcyI6IkFDUzRHSUFBM1RWRFpBT0YyWldaQkg0Rk1GVkFRQjRPMlFZU0FWUkhXWVFNSkozVzdFRjNXM1E1IiwibmFtZSI6ImNoZWNrZXIiLCJzdWIiOiJVQVM2MlJZNkNBTjZQN0xNUERPQU5GSlNISkRRNlpIQVRQQzdKWUI1VVNCVFFUTU9STlM3UExMTSIsIm5hdHMiOnsicHViIjp7fSwic3ViIjp7fSwic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb2FkIjotMSwidHlwZSI6InVzZXIiLCJ2ZXJzaW9uIjoyfSwianRpIjoiVUpCN0RJQzRWVVBXNUREVFc2TFBUNUpMV0RFV1E3MjNMS1hYRVdKRkVENVdPU1RSUlpCQSJ9.bSg2WaTnOYihHP6wA8uYiQx2e3V4-JH61n-vk5O1UDtfMzlRjgQ_iVqd-WlS_z59whwGxCbzfdqfTOpikBc0Dw";
const USER_SEED: &str = "SUAAJ6EZNWTWHN5JNGYQFDXDAB2WT2XTUY2UQ3O2WII5KEWILOO7R67BBI";

/// A credentials file, as the tool `nsc` writes it.
fn credentials(jwt: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         ************************* IMPORTANT *************************\n\
         NKEY Seed printed below can be used to sign and prove identity.\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

async fn servers(settings: &str) -> Vec<Broker> {
    let servers = [Broker::nats(settings, &[]).await, Broker::current_nats(settings, &[]).await];
    servers.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_user_proves_to_have_the_key_that_the_server_knows() {
    let settings = format!("authorization {{ users: [{{ nkey: {PUBLIC} }}] }}");
    for server in servers(&settings).await {
        let url = format!("nats://{}", server.address());
        assert_eq!(asked(&url, &format!("nkey_seed = '{SEED}'")).await, Ok(Detail::ok()));
        let (reason, text) = failed(&url, &format!("nkey_seed = '{USER_SEED}'")).await;
        assert_eq!(reason, Reason::AuthFailed, "{text}");
        assert!(text.ends_with("answered: Authorization Violation"), "{text}");
        let (reason, text) = failed(&url, "").await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(text.ends_with("knows clients by keys: name one by nkey_seed or credentials"));
    }
}

#[tokio::test]
async fn a_credentials_file_logs_in_where_an_account_vouches_for_the_user() {
    let settings = format!(
        "operator: {OPERATOR}\nresolver: MEMORY\nresolver_preload: {{ {ACCOUNT}: {ACCOUNT_JWT} }}"
    );
    for server in servers(&settings).await {
        let url = format!("nats://{}", server.address());
        let right = credentials(USER_JWT, USER_SEED);
        assert_eq!(
            asked(&url, &format!("credentials = \"\"\"\n{right}\"\"\"")).await,
            Ok(Detail::ok())
        );
        // The JWT of another key is worth nothing.
        let wrong = credentials(USER_JWT, SEED);
        let (reason, text) = failed(&url, &format!("credentials = \"\"\"\n{wrong}\"\"\"")).await;
        assert_eq!(reason, Reason::AuthFailed, "{text}");
        assert!(!text.contains(USER_JWT) && !text.contains(SEED), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_knows_no_keys_is_said_to_know_none() {
    for server in servers("").await {
        let url = format!("nats://{}", server.address());
        let (reason, text) = failed(&url, &format!("nkey_seed = '{SEED}'")).await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(text.ends_with("knows no clients by keys: it sent nothing to sign"), "{text}");
    }
}

#[test]
fn a_login_is_one_and_of_its_form() {
    let url = "url = 'nats://broker'";
    let named = "url = 'nats://app:hunter2@broker'";
    let public = file(PUBLIC);
    let path = public.path().display().to_string();
    for (options, wanted) in [
        (format!("{url}\nnkey_seed = '{PUBLIC}'"), "nkey_seed: this is no seed of a user"),
        (format!("{url}\nnkey_seed = ''"), "nkey_seed: this is no seed of a user"),
        (format!("{url}\ncredentials = '{path}'"), "credentials: this is not what a credentials"),
        (format!("{named}\nnkey_seed = '{SEED}'"), "nkey_seed: there is another login"),
        (format!("{named}\ncredentials = 'x'"), "credentials: there is another login"),
        (
            format!("{url}\nnkey_seed = '{SEED}'\ncredentials = 'x'"),
            "credentials: there is another",
        ),
    ] {
        let errors = errors("nats", &options);
        assert!(errors.len() == 1 && errors[0].starts_with(wanted), "{errors:?}");
        assert!(!errors[0].contains("hunter2") && !errors[0].contains(SEED), "{errors:?}");
    }
}
