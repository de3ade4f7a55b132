package v1alpha1

// Condition types of an OAuthClient. They follow kstatus, so that `kubectl wait`, Flux, Argo CD and Helm understand them.
const (
	// ConditionReady is True when the credential that is in the Secret now gets a token from every ready token server.
	//
	// Reasons when True: Issued.
	// Reasons when False: Suspended, SecretConflict, WaitingForCertificate, NamespaceTerminating, Forbidden,
	// QuotaExceeded, SecretWriteFailed.
	ConditionReady = "Ready"

	// ConditionStalled is True, and otherwise absent, when nothing will change until somebody acts.
	//
	// Reasons when True: SecretConflict.
	ConditionStalled = "Stalled"
)

// Reasons of the conditions of an OAuthClient.
const (
	// ReasonIssued: the Secret holds working credentials.
	ReasonIssued = "Issued"
	// ReasonSuspended: spec.suspend is true. Credentials are kept; no token is issued.
	ReasonSuspended = "Suspended"
	// ReasonSecretConflict: the Secret's name is taken, by a Secret that Kubemint does not own or by another
	// OAuthClient. Choose another spec.secret.name, or delete or rename what has it.
	ReasonSecretConflict = "SecretConflict"
	// ReasonWaitingForCertificate: Kubemint has not made its certificate authority yet, and the Secret is to hold it.
	ReasonWaitingForCertificate = "WaitingForCertificate"
	// ReasonNamespaceTerminating: the namespace is being deleted, and accepts no new Secret.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	// ReasonForbidden: Kubemint's service account may not write Secrets here (RBAC or an admission policy).
	ReasonForbidden = "Forbidden"
	// ReasonQuotaExceeded: a ResourceQuota of the namespace leaves no room for the Secret.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonSecretWriteFailed: the API server did not take the Secret for another cause, named in the message. Retried.
	ReasonSecretWriteFailed = "SecretWriteFailed"
)

// Reasons of the events on an OAuthClient, beside the reasons above.
const (
	// EventSecretUpdated: the Secret follows a change of the OAuthClient or of Kubemint's configuration.
	EventSecretUpdated = "SecretUpdated"
	// EventSecretRepaired: the Secret had been changed or deleted by somebody else, and was made good.
	EventSecretRepaired = "SecretRepaired"
	// EventSecretRenamed: the credential moved to the Secret that spec.secret.name names now.
	EventSecretRenamed = "SecretRenamed"
)
