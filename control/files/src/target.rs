//! Which folder or object store a configuration means.
//! - Source: the schemes and option names are those of `object_store`; what is not among the options is taken from the environment
//!   (`AWS_REGION`, ..), as its own builders do it.
//! - Invariants: a folder is entered by its own name, so that no path leads out of it; files in it are synced before they appear.
//! - Errors: problems with the configuration name options, never their values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::FilesConfig;

/// The store, with everything in it below the configured folder.
pub(crate) fn open(config: &FilesConfig, directory: &Path) -> Result<Arc<dyn ObjectStore>, String> {
    if let Some(folder) = folder(config, directory)? {
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(|error| error.to_string())?;
        return Ok(Arc::new(store.with_automatic_cleanup(true).with_fsync(true)));
    }
    let (store, prefix) = remote(config)?;
    Ok(if prefix.is_root() {
        Arc::from(store)
    } else {
        Arc::new(PrefixStore::new(Arc::<dyn ObjectStore>::from(store), prefix))
    })
}

/// All that is wrong with `url` and `options`.
pub(crate) fn problems(config: &FilesConfig) -> Vec<String> {
    let problem = match folder(config, Path::new("/")) {
        Ok(Some(_)) if config.options.0.is_empty() => None,
        Ok(Some(_)) => Some("options mean nothing to a folder".to_owned()),
        Ok(None) => remote(config).err(),
        Err(problem) => Some(problem),
    };
    problem.into_iter().map(|problem| format!("files.url: {problem}")).collect()
}

/// The folder, if it is one of this machine.
fn folder(config: &FilesConfig, directory: &Path) -> Result<Option<PathBuf>, String> {
    if config.url.is_empty() {
        return Ok(Some(directory.join("files")));
    }
    let Some(rest) = config.url.strip_prefix("file://") else { return Ok(None) };
    let folder = percent_decode_str(rest).decode_utf8().map_err(|error| error.to_string())?;
    let folder = PathBuf::from(folder.as_ref());
    if folder.is_absolute() { Ok(Some(folder)) } else { Err("a folder has to be absolute: file:///folder".to_owned()) }
}

fn remote(config: &FilesConfig) -> Result<(Box<dyn ObjectStore>, Key), String> {
    let url = Url::parse(&config.url).map_err(|error| error.to_string())?;
    let means = |key: &str| match url.scheme() {
        "s3" | "s3a" => Ok(AmazonS3ConfigKey::from_str(key).is_ok()),
        "az" | "azure" | "abfs" | "abfss" => Ok(AzureConfigKey::from_str(key).is_ok()),
        "gs" => Ok(GoogleConfigKey::from_str(key).is_ok()),
        scheme => Err(format!("`{scheme}` is none of file, s3, az and gs")),
    };
    for (key, value) in &config.options.0 {
        if !means(key)? {
            return Err(format!("option `{key}` means nothing to this kind of store"));
        }
        // The store's client panics at an address that HTTP cannot express.
        if key.contains("endpoint") && !is_endpoint(value) {
            return Err(format!("option `{key}` has to be http:// or https:// and a host"));
        }
    }
    let mut options: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.to_str()?.to_ascii_lowercase(), value.into_string().ok()?)))
        .filter(|(key, _)| means(key) == Ok(true))
        .collect();
    options.extend(config.options.0.clone());
    means("region")?;
    object_store::parse_url_opts(&url, options).map_err(|error| error.to_string())
}

fn is_endpoint(address: &str) -> bool {
    let host = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Options;

    fn check(url: &str, key: &str, value: &str) -> Vec<String> {
        let options =
            if key.is_empty() { Options::default() } else { Options([(key.to_owned(), value.to_owned())].into()) };
        problems(&FilesConfig { url: url.to_owned(), options, ..FilesConfig::default() })
    }

    #[test]
    fn places_and_options_are_checked_without_showing_values() {
        for (url, key, value) in
            [("", "", ""), ("file:///a%20b", "", ""), ("s3://b/x", "region", "eu-west-1"), ("gs://b", "", "")]
        {
            assert!(check(url, key, value).is_empty(), "{url} {:?}", check(url, key, value));
        }
        for (url, key, value) in [
            ("/folder", "", ""),
            ("file://relative", "", ""),
            ("ftp://x/y", "", ""),
            ("http://x/y", "", ""),
            ("", "region", "hidden"),
            ("s3://b", "reigon", "hidden"),
            ("s3://b", "endpoint", "hidden host"),
        ] {
            let found = check(url, key, value);
            assert_eq!(found.len(), 1, "{url}");
            assert!(!found[0].contains("hidden"), "{found:?}");
        }
    }
}
