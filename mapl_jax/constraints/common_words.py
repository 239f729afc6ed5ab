"""Common English words that are no names: a capital on one of them begins a sentence."""

COMMON_WORDS = frozenset(
    """
    able about access activities activity actually add addition advice after again against
    age air all already also always am amount an and animal animals another answer any
    anything are area aren around art as ask asking at available avoid away baby back baking
    ball based basic be because become been before behavior being believe best better
    between big bit black blood body book books both bowl bread brown build but butter buy
    by call called can car care case cat cause certain change check cheese chicken child
    children choice choose chopped city clean clear cold color com come common community
    company computer consider considered contact control cook cooked cooking cost could
    countries country course cream create credit culture cup cups current cut data day days
    definitely depending depends designed did diet different difficult directly dish do
    doctor does doesn dog dogs doing don done dough down dry during each early easier easy
    eat eating effective egg eggs either else end energy enjoy enough environment especially
    even every example examples exercise expensive experience explain fact factors family
    famous favorite feel few find fire first fish flavor flour focus following food foods
    for form found free fresh friend friends from fun further future game games general
    generally get getting give go goal going good government great green ground group had
    hair hand happy hard has have having he health healthy hear heart heat help helpful
    helps her here high higher him his history home hope hot hours house how https human
    humans ice idea ideas if important in include including information ingredients instead
    interested interesting internet into is isn issues it its job just keep kids kind kinds
    know known language large last lead learn learning least less let level life light like
    likely list little live ll local long look looking lot lots love low lower made main
    major make makes making many materials may maybe me mean means meat medical might milk
    mind minutes mix mixture modern money more most move movie movies much music must my
    name natural need needs new nice night no non not now number of off offer often oil old
    on one ones online only open option options or order other others our out outside oven
    over own pain pan paper part particular parts party pay people pepper per person
    personal phone physical pieces place places plants play point political popular positive
    possible potatoes power practice pretty prevent probably problem problems process
    products professional program provide public put quality question questions quickly
    quite range rate rather re read really reason recipe recipes recommend red reduce
    regular related remove require research resources rice right risk run safe salt same
    sauce say search see seem seems sense series service services set several she short
    should show side significant similar simple since single situation size skills skin
    sleep small so social some someone something sometimes sorry sort sound sounds space
    special species specific start started state stay still store story strong style such
    sugar suggest support sure symptoms system take taking talk talking tell temperature
    term terms th than that the their them themselves then there these they thing things
    think thinking this those though three through time times to today together too top
    traditional treatment tree true try trying two type types typically under understand
    until up use used useful using usually variety various ve vegetable vegetables very
    video visit want warm was water way ways we website weight welcome well were what when
    where whether which while white who whole why wide will with without won work working
    works world would www year years yes you your yourself
    """.split()
)
