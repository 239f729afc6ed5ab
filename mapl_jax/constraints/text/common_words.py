"""Common English words that are no names: a capital on one of them begins a sentence."""

COMMON_WORDS = frozenset(
    """
    ability able about above access account across active activities activity actually add
    adding addition additional additionally advice after again against age agree air alcohol
    all allow along already also although always am among amount an and animal animals
    another answer any anything app apple apply approach appropriate are area areas aren
    around art article as ask asking associated at attention available average avoid aware
    away baby back bad bag baking ball band based basic be beans beautiful became because
    become beef been before behavior being believe benefits besides best better between big
    bike bit black blood body book books both bowl box brain bread break bring brown build
    building business but butter buy buying by cake call called calm can car card care
    career cars case cases cat cats cause caused causes cells century certain certainly
    change changes character characters check cheese chemical chicken child children
    chocolate choice choose chopped cinnamon city class classic clean clear climate close
    clothing coffee cold color colors com combination come comes comfortable common commonly
    community companies company completely complex computer concerned concerns condition
    conditions consider considered contact contain content context continue control cook
    cooked cookies cooking cool corn correct cost could countries country couple course
    cover cream create creating credit cultural culture cup cups current currently cut daily
    damage dangerous dark data date day days decide deep definitely degree delicious
    depending depends describe designed details develop development device did didn diet
    difference different difficult directly disease dish dishes do doctor does doesn dog
    dogs doing don done dough down dried drink drinks dry due during each early easier
    easily easy eat eating effective effects egg eggs either else end energy enjoy enough
    environment especially etc even events ever every everyone evidence exactly example
    examples excellent exercise exercises expensive experience explain extra extremely eye
    eyes face fact factors fairly familiar family famous far fast fat favorite features feel
    feeling feelings feet few field figure film films finally find fine fire first fish five
    flavor flour focus follow following food foods for force form fortunately found four
    free fresh fried friend friends from fruit fruits full fun further furthermore future
    game games garden garlic gas gathering general generally get gets getting give given
    glad go goal goals goes going good got government great green ground group groups grow
    guess guests had hair half hand hands happen happy hard has have having he head health
    healthy hear heard heart heat hello help helpful helps hence her here high higher highly
    hiking him his history hold home hope host hot hours house how however human humans ice
    idea ideas if impact important improve in include includes including increase individual
    information ingredients inside instead instructions insurance interest interested
    interesting internet into involved involves is isn issue issues it items its itself job
    juice just keep key kids kind kinds know known language large larger largest last later
    lead learn learning least leave leaves left legal less let level levels life light like
    likely line link list listen little live lives living ll local location long longer look
    looking looks loss lot lots love low lower luck machine made main maintain major make
    makes making many market materials may maybe me meal mean means meanwhile meat media
    medical medium men mentioned method methods might military milk million mind minutes mix
    mixture model modern money month months more moreover most move movie movies moving much
    muscle muscles mushrooms music must my myself name names natural near necessary need
    needs negative never nevertheless new next nice night no non normal not note now number
    objects of off offer often oil old olive on one ones onion onions online only open
    option options or order original other others our out outside oven over overall own page
    pain pan paper parents part particular particularly parts party past pay people pepper
    per perhaps period person personal pet phone physical pick pie piece pieces place places
    plan plant plants plastic play played player playing please plenty point points
    political popular population positive possible pot potato potatoes potential powder
    power practice prefer pressure pretty prevent price probably problem problems process
    produce product products professional program programs protect protein provide public
    purpose put putting quality question questions quickly quite range rate rather re reach
    read reading ready real really reason reasons recent recipe recipes recommend
    recommendations recommended red reduce regular regularly related relationship relatively
    remember remove require research resources response rest result results rice rich right
    risk rock role room run running safe safety said salt same sauce save say saying school
    science scientific screen search season second security see seeds seem seems seen self
    sense series serious serve served service services set several shape share she shoes
    short should show shows side significant similar similarly simple simply since single
    site sites situation size skills skin sleep small smaller smoking snow so soap social
    society soft some someone something sometimes song songs sorry sort sound sounds soup
    source sources space special species specific specifically spend spices sports spray
    spread standard start started starting state stay step steps stick still stir stock stop
    store stores story stress strong study style such sugar suggest suggestions sun support
    sure surface sweet symptoms system systems take takes taking talk talking taste teach
    team teaspoon techniques technology tell temperature tend term terms th than thank
    thanks that the their them themselves then there these they thing things think thinking
    this those though thought three through throughout thus time times tips to today
    together tomatoes too tools top topic traditional training travel treat treatment tree
    trees tried trip true try trying tsp turn two type types typically under understand
    understanding unfortunately unique until up use used useful uses using usually value
    vanilla variety various ve vegetable vegetables vehicle version very video view vinegar
    visit walk want wanted warm was watch water way ways we wear weather web website week
    weight welcome well were what when where whether which while white who whole why wide
    will wine winter with within without women won wood word words work working works world
    worth would write writing written wrong year years yes yet you young your yourself
    """.split()
)

# What people who care for style ask a writer to leave out; other bans are games.
FILLERS = frozenset(
    """
    very really just actually basically also however maybe perhaps probably definitely simply quite
    pretty sorry sure certainly absolutely unfortunately obviously literally totally honestly
    generally usually typically especially often always never thing things stuff lots great good
    nice amazing awesome fantastic wonderful perfect overall although though should must
    might
    """.split()
)

# Of these few ask to leave them out, and of the last ones nearly nobody.
HARDLY_FILLERS = frozenset("can could would".split())
FILLERS_TO_FEW = frozenset("but so even still too many much some well".split()) | HARDLY_FILLERS

# Words that say little about what a text is about; keywords are not drawn from them.
STOPWORDS = frozenset(
    """
    about above after again against all also although always among and any anyone anything are
    aren around because been before being below between both but can cannot could couldn did didn
    does doesn doing don done down during each either else even ever every few for from further get
    gets getting goes going got had hadn has hasn have haven having her here hers herself him
    himself his how however into isn its itself just let like may maybe might more most much must
    mustn myself neither nor not now off often one once only onto other others ought our ours
    ourselves out over own per perhaps quite rather really said same say says shall shan she should
    shouldn since some someone something still such than that the their theirs them themselves then
    there therefore these they thing things this those though through thus too under until unless
    upon use used using very was wasn well were weren what when where whether which while who whom
    whose why will with within without won would wouldn yes yet you your yours yourself yourselves
    """.split()
)
